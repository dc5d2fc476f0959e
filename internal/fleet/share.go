package fleet

// Share is a number of things, or a percentage of all of them.
type Share struct {
	// Of is the number, or the percentage.
	Of      int
	Percent bool
}

// Up is the share of a total, rounded up, and never more than all.
func (s Share) Up(total int) int {
	if !s.Percent {
		return min(s.Of, total)
	}
	return min((total*s.Of+99)/100, total)
}

// Down is the share of a total, rounded down. A number may be more than all.
func (s Share) Down(total int) int {
	if !s.Percent {
		return s.Of
	}
	return total * s.Of / 100
}
