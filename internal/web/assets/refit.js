// Keeps the page as it is on the hub: the server sends the content anew whenever
// it has changed, and what differs is put in its place. Nothing is computed here.

const link = document.getElementById('link');
let stream, retry;

function say(state, text) {
  link.dataset.link = state;
  link.querySelector('.text').textContent = text;
}

// grow makes a node like another one, and touches nothing that is alike: what is
// focused, selected or scrolled to stays so.
function grow(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  growChildren(old, [...fresh.childNodes]);
}

// growChildren finds those that have an id again wherever they have moved to.
function growChildren(parent, fresh) {
  const known = new Map([...parent.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = parent.firstChild;
  for (const child of fresh) {
    const same = child.id && known.get(child.id);
    if (same && same !== at) parent.insertBefore(same, at);
    else if (!at) {
      parent.append(child);
      continue;
    } else if (!same && at.id && child.id !== at.id) {
      parent.insertBefore(child, at);
      continue;
    }
    const here = same || at;
    at = here.nextSibling;
    grow(here, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function show(html) {
  const fresh = new DOMParser().parseFromString(html, 'text/html').getElementById('main');
  if (!fresh) return;
  document.title = fresh.dataset.title + ' – Refit';
  grow(document.getElementById('main'), document.adoptNode(fresh));
}

function open() {
  clearTimeout(retry);
  stream?.close();
  stream = new EventSource('/events' + location.pathname);
  stream.onopen = () => say('live', 'live');
  stream.addEventListener('content', (event) => {
    show(event.data);
    say('live', 'live');
  });
  stream.addEventListener('trouble', (event) => say('trouble', 'the hub does not answer: ' + event.data));
  stream.onerror = () => {
    say('lost', 'disconnected: what is shown may be old. If "refit dashboard" has ended, run it again and open its link.');
    if (stream.readyState === EventSource.CLOSED) retry = setTimeout(open, 5000); // it gives up by itself; we do not
  };
}

// A window that nobody looks at needs no stream: a browser has six for all.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') return open();
  clearTimeout(retry);
  stream?.close();
  say('static', 'resting');
});
if (document.visibilityState === 'visible') open();
