package shelf

import "testing"

func TestPut(t *testing.T) {
	s := &Shelf{Room: 1}
	if !s.Put("a") || s.Put("b") || len(s.Things) != 1 {
		t.Error("a shelf for one holds", s.Things)
	}
}

func TestNumbers(t *testing.T) {
	if Count(3) != 3 || Distance(2, 5) != 3 || Distance(5, 2) != 3 {
		t.Error("wrong")
	}
}
