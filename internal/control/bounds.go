package control

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	v1 "refit.dev/refit/api/v1alpha1"
)

// What a status takes is bounded: a MemberCluster's 8 KiB, a ClusterUpgrade's
// 32 KiB, so that thousands of them fit into caches and etcd; and a Fleet's 72 KiB,
// of which a roster of 5,000 takes 33 and what people did 15, so that 8 of 80 are left
// for its spec. Texts of others (a provider's words, a person's) have no bound of their
// own. TestBounds fills each status.
const (
	whyRoom       = 1024
	fixRoom       = 256
	objectRoom    = 128
	conditionRoom = 640
	findingRoom   = 200 // of which there are 20
	evidenceRoom  = 120
	intentRoom    = 120 // of which there are 32
	declaredRoom  = 64
	driftRoom     = 160
	poolsRoom     = 5800
	waveRoom      = 448 // of which there are 8
	gateRoom      = 200 // and the half of it for what to do
	nameRoom      = 64  // of who did something, of whom there are 32, and of a release
	moveRoom      = 80  // of a foreign change
)

// How many of a kind are kept.
const (
	keptPools    = 64
	keptFindings = 20
	keptIntents  = 32
	// keptSteps are those of the last twelve hops and more; what is before the
	// hop under way is not asked for any more.
	keptSteps = 64
	// keptPath is more minors than a member is ever behind.
	keptPath = 8
	// keptWords are the gates whose words are kept, beside when they failed: waves
	// soak one after the other, so there are seldom more of them.
	keptWords = 4
	// keptRevisions are half a year of a release every three weeks.
	keptRevisions = 8
	keptPeople    = 4
	// keptThings are what may be counted and still there: more than a fleet of 5,000
	// has freezes and approvals of eight revisions, unless people go through it member
	// by member.
	keptThings = 512
	keptMoves  = 4
)

// boundWaves cuts what is said of waves and their gates.
func boundWaves(waves []v1.WaveStatus) {
	told := 0
	for i := range waves {
		waves[i].Why = clip(waves[i].Why, waveRoom)
		for j := range waves[i].Gates {
			gate := &waves[i].Gates[j]
			if told++; told > keptWords {
				gate.Said, gate.Fix = "", ""
			}
			gate.Said, gate.Fix = clip(gate.Said, gateRoom), clip(gate.Fix, gateRoom/2)
		}
	}
}

// clip cuts a text to what it may take as JSON, at the end of a rune.
func clip(text string, room int) string {
	const mark = "…"
	taken, fits := 0, 0
	for i, r := range text {
		if taken <= room-len(mark) {
			fits = i
		}
		if taken += quoted(r); taken > room {
			return text[:fits] + mark
		}
	}
	return text
}

// quoted is what a rune takes in JSON.
func quoted(r rune) int {
	switch {
	case strings.ContainsRune(`"\`, r), r == '\n', r == '\r', r == '\t':
		return 2
	case r < ' ', strings.ContainsRune("<>&\u2028\u2029", r), r == utf8.RuneError:
		return 6
	default:
		return utf8.RuneLen(r)
	}
}

// roomFor tells whether one more pool may be listed.
func roomFor(pool v1.PoolStatus, among []v1.PoolStatus) bool {
	text, err := json.Marshal(append(slices.Clip(among), pool))
	return err == nil && len(among) < keptPools && len(text) <= poolsRoom
}
