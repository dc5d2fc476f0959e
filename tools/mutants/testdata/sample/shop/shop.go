// Package shop depends on the shelf.
package shop

import "example.com/sample/shelf"

// Sell takes what was put there last.
func Sell(s *shelf.Shelf) string { return s.Take() }
