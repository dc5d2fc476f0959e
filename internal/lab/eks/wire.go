package eks

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"refit.dev/refit/internal/fleet"
)

// pageSize is how many names are listed at once, where nobody asks for less.
const pageSize = 100

// call is a request that was let in.
type call struct {
	*http.Request

	lab     *Lab
	cluster *cluster // of its path; nil where that names none
	body    []byte
}

// operation is one of the API's.
type operation struct {
	name, pattern string
	serve         func(call) (any, *refusal)
}

// operations are those of the API that the lab has, by their names and paths
// (https://docs.aws.amazon.com/eks/latest/APIReference/API_Operations.html).
func operations() []operation {
	return []operation{
		{"ListClusters", "GET /clusters", listClusters},
		{"DescribeCluster", "GET /clusters/{cluster}", describeCluster},
		{"UpdateClusterVersion", "POST /clusters/{cluster}/updates", updateClusterVersion},
		{"UpdateClusterConfig", "POST /clusters/{cluster}/update-config", updateClusterConfig},
		{"ListUpdates", "GET /clusters/{cluster}/updates", listUpdates},
		{"DescribeUpdate", "GET /clusters/{cluster}/updates/{update}", describeUpdate},
		{"ListNodegroups", "GET /clusters/{cluster}/node-groups", listNodegroups},
		{"DescribeNodegroup", "GET /clusters/{cluster}/node-groups/{group}", describeNodegroup},
		{"UpdateNodegroupVersion", "POST /clusters/{cluster}/node-groups/{group}/update-version", updateNodegroupVersion},
		{"ListAddons", "GET /clusters/{cluster}/addons", listAddons},
		{"DescribeAddon", "GET /clusters/{cluster}/addons/{addon}", describeAddon},
		{"UpdateAddon", "POST /clusters/{cluster}/addons/{addon}/update", updateAddon},
		{"DescribeAddonVersions", "GET /addons/supported-versions", describeAddonVersions},
		{"DescribeClusterVersions", "GET /cluster-versions", describeClusterVersions},
	}
}

// Handler serves the API.
func (l *Lab) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, op := range operations() {
		mux.HandleFunc(op.pattern, func(w http.ResponseWriter, r *http.Request) { l.serve(w, r, op) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, refuse(http.StatusNotFound, "UnknownOperationException", "the lab has no %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// bodyLimit is far more than any request needs.
const bodyLimit = 1 << 20

func (l *Lab) serve(w http.ResponseWriter, r *http.Request, op operation) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		answer(w, nil, refuse(http.StatusBadRequest, "InvalidRequestException", "read the request: %v", err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if no := l.letIn(r, body); no != nil {
		answer(w, nil, no)
		return
	}
	c := call{Request: r, lab: l, body: body}
	if name := r.PathValue("cluster"); name != "" {
		if c.cluster = l.clusters[name]; c.cluster == nil {
			answer(w, nil, notFound("No cluster found for name: %s.", name))
			return
		}
	}
	changes := r.Method == http.MethodPost
	if changes && l.mishaps.throttled > 0 {
		l.mishaps.throttled--
		no := refuse(http.StatusTooManyRequests, "ThrottlingException", "Rate exceeded")
		no.after = int(l.mishaps.after.Seconds())
		answer(w, nil, no)
		return
	}
	out, no := op.serve(c)
	if changes && l.mishaps.lost > 0 {
		l.mishaps.lost--
		panic(http.ErrAbortHandler) // closes the connection
	}
	answer(w, out, no)
}

// answer writes what the service would: the kind of an error is in a header
// (https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization).
func answer(w http.ResponseWriter, out any, no *refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", newID())
	if no == nil {
		_ = json.NewEncoder(w).Encode(out) // the client is gone if it fails
		return
	}
	w.Header().Set("X-Amzn-Errortype", no.kind)
	if no.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(no.after))
	}
	w.WriteHeader(no.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": no.message})
}

// read reads a request's body.
func (c call) read(into any) *refusal {
	if err := json.Unmarshal(c.body, into); err != nil {
		return refuse(http.StatusBadRequest, "SerializationException", "read the request: %v", err)
	}
	return nil
}

// listed answers with one page of names under a key, and the token of the next.
func (c call) listed(key string, names []string) (any, *refusal) {
	query := c.URL.Query()
	size, at := pageSize, 0
	if text := query.Get("maxResults"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > pageSize {
			return nil, invalid("maxResults must be between 1 and %d", pageSize)
		}
		size = n
	}
	if token := query.Get("nextToken"); token != "" {
		text, err := base64.StdEncoding.DecodeString(token)
		if err == nil {
			at, err = strconv.Atoi(string(text))
		}
		if err != nil || at < 0 || at > len(names) {
			return nil, invalid("nextToken is not valid")
		}
	}
	end := min(at+size, len(names))
	out := map[string]any{key: append([]string{}, names[at:end]...)}
	if end < len(names) {
		out["nextToken"] = base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(end)))
	}
	return out, nil
}

func listClusters(c call) (any, *refusal) {
	return c.listed("clusters", slices.Sorted(maps.Keys(c.lab.clusters)))
}

func listNodegroups(c call) (any, *refusal) {
	return c.listed("nodegroups", slices.Sorted(maps.Keys(c.cluster.groups)))
}

// listUpdates lists them in no order of time, as nothing promises one.
func listUpdates(c call) (any, *refusal) {
	query := c.URL.Query()
	var ids []string
	for _, u := range c.cluster.of(query.Get("nodegroupName"), query.Get("addonName")) {
		ids = append(ids, u.id)
	}
	slices.Sort(ids)
	return c.listed("updateIds", ids)
}

func describeUpdate(c call) (any, *refusal) {
	query := c.URL.Query()
	for _, u := range c.cluster.of(query.Get("nodegroupName"), query.Get("addonName")) {
		if u.id == c.PathValue("update") {
			return updateAnswer(u), nil
		}
	}
	return nil, notFound("No update found for ID: %s", c.PathValue("update"))
}

// seconds is a time as the protocol has it in JSON.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func updateAnswer(u *update) any {
	shown := map[string]any{
		"id": u.id, "status": u.status, "type": u.kind, "params": u.params, "createdAt": seconds(u.created), "errors": u.errors,
	}
	if u.errors == nil {
		shown["errors"] = []problem{}
	}
	return map[string]any{"update": shown}
}

func (l *Lab) arn(kind string, parts ...string) string {
	return fmt.Sprintf("arn:aws:eks:%s:%s:%s/%s", l.Region, account, kind, strings.Join(parts, "/"))
}

// platform is the version of what Amazon adds to a cluster; the lab adds nothing.
const platform = "eks.1"

func describeCluster(c call) (any, *refusal) {
	status := "ACTIVE"
	if c.cluster.running("", "") != nil {
		status = "UPDATING"
	}
	return map[string]any{"cluster": map[string]any{
		"name": c.cluster.name, "arn": c.lab.arn("cluster", c.cluster.name), "createdAt": seconds(c.cluster.created),
		"version": c.cluster.version.MinorName(), "platformVersion": platform, "status": status,
		"endpoint": c.cluster.entrance.url, "certificateAuthority": map[string]any{"data": c.cluster.entrance.authority()},
		"roleArn": "arn:aws:iam::" + account + ":role/lab",
		"resourcesVpcConfig": map[string]any{
			"subnetIds": []string{"subnet-0a", "subnet-0b"}, "securityGroupIds": []string{}, "vpcId": "vpc-0a",
			"endpointPublicAccess": true, "endpointPrivateAccess": false,
		},
		"kubernetesNetworkConfig": map[string]any{"serviceIpv4Cidr": "10.96.0.0/16", "ipFamily": "ipv4"},
		"health":                  map[string]any{"issues": []any{}},
		"tags":                    map[string]string{},
	}}, nil
}

// begin begins an update unless the same request has done so, and answers with it.
func (c call) begin(u *update, may func() *refusal) (any, *refusal) {
	u.asked = string(c.body)
	known, no := c.cluster.known(u)
	if no != nil {
		return nil, no
	}
	if known != nil {
		return updateAnswer(known), nil
	}
	if no := may(); no != nil {
		return nil, no
	}
	c.cluster.add(u, c.lab.Clock.Now().UTC())
	c.lab.Log.Info("update", "cluster", c.cluster.name, "update", u.id, "of", u.of(), "params", u.params)
	return updateAnswer(u), nil
}

// parseMinor reads a version as the service has them: 1.37.
func parseMinor(text string) (fleet.Version, *refusal) {
	v, ok := fleet.ParseVersion(text)
	if !ok || v != minorOf(v) || v.MinorName() != text {
		return fleet.Version{}, invalid("unsupported Kubernetes version %s", text)
	}
	return v, nil
}

func updateClusterVersion(c call) (any, *refusal) {
	var in struct {
		Version, ClientRequestToken string
		Force                       bool
	}
	if no := c.read(&in); no != nil {
		return nil, no
	}
	minor, no := parseMinor(in.Version)
	if no != nil {
		return nil, no
	}
	u := &update{
		token: in.ClientRequestToken, kind: versionUpdate, force: in.Force,
		params: []param{{paramVersion, in.Version}, {paramPlatformVersion, platform}},
	}
	return c.begin(u, func() *refusal {
		if no := c.cluster.mayUpdate(minor); no != nil {
			return no
		}
		var no *refusal
		if u.to, no = c.lab.offer(c.Context(), c.cluster, minor); no != nil {
			return no
		}
		seen, err := c.lab.Backing.Observe(c.Context(), c.cluster.ref)
		if err != nil {
			return unreachable(err)
		}
		u.from = seen.ControlPlane.Oldest
		u.doomed = c.lab.mishaps.failing[c.cluster.name]
		delete(c.lab.mishaps.failing, c.cluster.name)
		return nil
	})
}

func updateClusterConfig(c call) (any, *refusal) {
	var in struct {
		ClientRequestToken string
		Logging            json.RawMessage
	}
	if no := c.read(&in); no != nil {
		return nil, no
	}
	if in.Logging == nil {
		return nil, invalid("the lab changes nothing but logging")
	}
	u := &update{token: in.ClientRequestToken, kind: configUpdate, params: []param{{paramLogging, string(in.Logging)}}}
	return c.begin(u, func() *refusal {
		if running := c.cluster.running("", ""); running != nil {
			return inUse("Cluster %s currently has update %s in progress", c.cluster.name, running.id)
		}
		return nil
	})
}

func (c call) group() (*group, *refusal) {
	g := c.cluster.groups[c.PathValue("group")]
	if g == nil {
		return nil, notFound("No node group found for name: %s.", c.PathValue("group"))
	}
	return g, nil
}

// release is the version of a node group's machine image.
func release(v fleet.Version) string { return strings.TrimPrefix(v.String(), "v") + "-20261101" }

func describeNodegroup(c call) (any, *refusal) {
	g, no := c.group()
	if no != nil {
		return nil, no
	}
	status := "ACTIVE"
	if c.cluster.running(g.name, "") != nil {
		status = "UPDATING"
	}
	shown := map[string]any{
		"nodegroupName": g.name, "nodegroupArn": c.lab.arn("nodegroup", c.cluster.name, g.name, c.cluster.name+g.name),
		"clusterName": c.cluster.name, "version": g.version.MinorName(), "status": status,
		"createdAt": seconds(g.created), "modifiedAt": seconds(g.created), "capacityType": "ON_DEMAND",
		"scalingConfig": map[string]any{"minSize": g.size, "maxSize": g.size, "desiredSize": g.size},
		"instanceTypes": []string{"m7i.large"}, "subnets": []string{"subnet-0a", "subnet-0b"}, "amiType": "AL2023_x86_64_STANDARD",
		"nodeRole":     "arn:aws:iam::" + account + ":role/lab-node",
		"labels":       map[string]string{},
		"resources":    map[string]any{"autoScalingGroups": []any{map[string]any{"name": "eks-" + g.name}}},
		"diskSize":     20,
		"health":       map[string]any{"issues": []any{}},
		"updateConfig": map[string]any{"maxUnavailable": 1},
		"tags":         map[string]string{},
	}
	if patch, err := c.lab.offered(c.Context(), c.cluster, g.version); err == nil && !patch.IsZero() {
		shown["releaseVersion"] = release(patch)
	}
	return map[string]any{"nodegroup": shown}, nil
}

func updateNodegroupVersion(c call) (any, *refusal) {
	g, no := c.group()
	if no != nil {
		return nil, no
	}
	var in struct {
		Version, ReleaseVersion, ClientRequestToken string
		Force                                       bool
	}
	if no := c.read(&in); no != nil {
		return nil, no
	}
	minor := c.cluster.version // where none is named
	if in.Version != "" {
		if minor, no = parseMinor(in.Version); no != nil {
			return nil, no
		}
	}
	u := &update{token: in.ClientRequestToken, kind: versionUpdate, group: g.name, force: in.Force}
	return c.begin(u, func() *refusal {
		if no := c.cluster.mayUpdateGroup(g, minor); no != nil {
			return no
		}
		var no *refusal
		if u.to, no = c.lab.offer(c.Context(), c.cluster, minor); no != nil {
			return no
		}
		if in.ReleaseVersion != "" && in.ReleaseVersion != release(u.to) {
			return invalid("Requested release version %s is not valid for kubernetes version %s", in.ReleaseVersion, minor.MinorName())
		}
		u.params = []param{{paramVersion, minor.MinorName()}, {paramReleaseVersion, release(u.to)}}
		return nil
	})
}

func describeClusterVersions(c call) (any, *refusal) {
	offers, err := c.lab.minors(c.Context())
	if err != nil {
		return nil, unreachable(err)
	}
	asked := c.URL.Query()["clusterVersions"]
	shown := []any{}
	for _, patch := range slices.Backward(offers) {
		minor := patch.MinorName()
		if len(asked) > 0 && !slices.Contains(asked, minor) {
			continue
		}
		shown = append(shown, map[string]any{
			"clusterVersion": minor, "clusterType": "eks", "defaultPlatformVersion": platform,
			"defaultVersion": patch == offers[len(offers)-1], "status": "standard-support", "versionStatus": "STANDARD_SUPPORT",
			"kubernetesPatchVersion": strings.TrimPrefix(patch.String(), "v"),
		})
	}
	return map[string]any{"clusterVersions": shown}, nil
}

// minors are the newest patches of all minors that a cluster of the lab may have,
// oldest first.
func (l *Lab) minors(ctx context.Context) ([]fleet.Version, error) {
	newest := map[fleet.Version]fleet.Version{}
	for _, name := range slices.Sorted(maps.Keys(l.clusters)) {
		seen, err := l.Backing.Observe(ctx, l.clusters[name].ref)
		if err != nil {
			return nil, err
		}
		for _, v := range seen.Offers {
			minor := minorOf(v)
			if newest[minor].Less(v) && !slices.ContainsFunc(l.mishaps.withdrawn, minor.SameMinor) {
				newest[minor] = v
			}
		}
	}
	return slices.SortedFunc(maps.Values(newest), fleet.Version.Compare), nil
}
