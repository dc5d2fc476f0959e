package fleet

import "time"

// Holder is who changes a member: one upgrade of one hub, by their UIDs.
type Holder struct{ Hub, Upgrade string }

// IsZero tells that there is nobody.
func (h Holder) IsZero() bool { return h == Holder{} }

// Claim is what a member itself says of who changes it.
type Claim struct {
	// Holder is nobody where the member is free.
	Holder

	// Seen is set where the member was asked: what was not seen is not free.
	Seen bool
	// Renewed is when its holder was last heard of, and Lasts how long that
	// keeps it alive.
	Renewed time.Time
	Lasts   time.Duration
	// UID and ResourceVersion of the object as it was seen.
	UID, ResourceVersion string
}

// Live tells whether its holder was heard of lately.
func (c Claim) Live(now time.Time) bool { return now.Before(c.Renewed.Add(c.Lasts)) }

// TakeOver is a person's yes to this hub's taking the place of another, given at
// a time.
type TakeOver struct {
	From string
	At   time.Time
}
