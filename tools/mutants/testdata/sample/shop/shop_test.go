package shop

import (
	"testing"

	"example.com/sample/shelf"
)

func TestSell(t *testing.T) {
	s := &shelf.Shelf{Room: 2, Things: []string{"a", "b"}}
	if got := Sell(s) + Sell(s); got != "ba" {
		t.Errorf("sold %q", got)
	}
}
