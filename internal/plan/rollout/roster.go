package rollout

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"time"
)

// shrinkWithin is how fast members must vanish for nobody to have meant it.
const shrinkWithin = 10 * time.Minute

// Roster is who is in a fleet: 5,000 members fit into its status, because a seat
// is little.
type Roster struct {
	// Seats, in the order of their ID.
	Seats []Seat
	// LossAt is when the first of those that are missing was missed; zero where
	// nobody is.
	LossAt time.Time
}

// Seat is one member of a fleet.
type Seat struct {
	// ID is a hash of the member's UID. Where two share one, one of them is
	// not missed when it vanishes.
	ID uint32
	// Wave is its name; empty where it is in none.
	Wave string
	// Cohort tells that the wave had it when it opened.
	Cohort bool
}

// count looks for those that vanished or changed their wave. Where they are too
// many the fleet halts, until they are back or a person agrees: a label, a
// selector or an inventory has a slip more often than a tenth of all clusters
// goes within minutes.
func (p *planner) count(f Fleet) (seen Roster, shrankAt time.Time) {
	waves := p.seated(f)
	missing := func(seat Seat) bool {
		wave, there := waves[seat.ID]
		return !there || (wave != seat.Wave && f.has(seat.Wave))
	}
	lost := 0
	for _, seat := range f.Roster.Seats {
		if missing(seat) {
			lost++
		}
	}
	seen = Roster{Seats: slices.Clone(f.Roster.Seats), LossAt: cmp.Or(f.Roster.LossAt, p.now)}
	agreed := !f.ShrankAt.IsZero() && p.verbs.resumed(f, Upgrade{EndedAt: f.ShrankAt})
	tooMany := lost >= max(3, (len(f.Roster.Seats)+9)/10)
	lapses := seen.LossAt.Add(shrinkWithin)
	switch {
	case tooMany && !agreed:
		shrankAt = cmp.Or(f.ShrankAt, p.now)
	case lost > 0 && !agreed && p.now.Before(lapses):
		p.recheck(lapses)
	default: // what is missing now is gone
		seen.Seats, seen.LossAt = slices.DeleteFunc(seen.Seats, missing), time.Time{}
	}
	seen.seat(waves, missing)
	return seen, shrankAt
}

// seated are the waves of a fleet's members, by ID.
func (p *planner) seated(f Fleet) map[uint32]string {
	waves := map[uint32]string{}
	for _, w := range f.Waves {
		for _, id := range p.ids(w.Members) {
			waves[id] = w.Name
		}
	}
	for _, id := range p.ids(f.NoWave) {
		waves[id] = ""
	}
	return waves
}

// has tells whether a fleet has a wave of that name. Who was in none is in its
// place as well when it is in one.
func (f Fleet) has(wave string) bool {
	return slices.ContainsFunc(f.Waves, func(w Wave) bool { return w.Name == wave })
}

// seat adds those that are new. Who has another wave, because the old one is gone,
// has come there late.
func (r *Roster) seat(waves map[uint32]string, missing func(Seat) bool) {
	for i, seat := range r.Seats {
		if wave := waves[seat.ID]; wave != seat.Wave && !missing(seat) {
			r.Seats[i] = Seat{ID: seat.ID, Wave: wave}
		}
		delete(waves, seat.ID)
	}
	for id, wave := range waves {
		r.Seats = append(r.Seats, Seat{ID: id, Wave: wave})
	}
	slices.SortFunc(r.Seats, func(a, b Seat) int { return cmp.Compare(a.ID, b.ID) })
}

// admit makes members the cohort of a wave that opens.
func (r *Roster) admit(wave string, ids []uint32) {
	for i, seat := range r.Seats {
		r.Seats[i].Cohort = seat.Cohort && seat.Wave != wave
	}
	for _, id := range ids {
		if i, found := r.find(id); found {
			r.Seats[i] = Seat{ID: id, Wave: wave, Cohort: true}
		}
	}
}

// cohort tells whether a wave had a member when it opened.
func (r *Roster) cohort(wave string, id uint32) bool {
	i, found := r.find(id)
	return found && r.Seats[i].Cohort && r.Seats[i].Wave == wave
}

func (r *Roster) find(id uint32) (int, bool) {
	return slices.BinarySearchFunc(r.Seats, id, func(seat Seat, id uint32) int { return cmp.Compare(seat.ID, id) })
}

func (p *planner) ids(members []string) []uint32 {
	ids := make([]uint32, 0, len(members))
	for _, name := range members {
		ids = append(ids, p.id(name))
	}
	return ids
}

func (p *planner) id(member string) uint32 {
	if id, known := p.seats[member]; known {
		return id
	}
	return SeatOf(Member{Name: member})
}

// SeatOf is a member's ID in a roster.
func SeatOf(m Member) uint32 {
	sum := sha256.Sum256([]byte(cmp.Or(m.UID, m.Name)))
	return uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3])
}
