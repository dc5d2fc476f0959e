// Package shelf is what the tests of mutants break.
package shelf

// Shelf has room for some things.
type Shelf struct {
	Room   int
	Things []string
}

// Put is tested here.
func (s *Shelf) Put(thing string) bool {
	if len(s.Things) >= s.Room {
		return false
	}
	s.Things = append(s.Things, thing)
	return true
}

// Take is tested by the shop alone.
func (s *Shelf) Take() string {
	last := len(s.Things) - 1
	thing := s.Things[last]
	s.Things = s.Things[:last]
	return thing
}

// Count never ends if nothing is added.
func Count(n int) int {
	count := 0
	for count < n {
		count++
	}
	return count
}

// Distance has a mutant that means the same.
func Distance(a, b int) int {
	if a < b {
		return b - a
	}
	return a - b
}

// Full has no test.
func (s *Shelf) Full() bool {
	return len(s.Things) == s.Room
}
