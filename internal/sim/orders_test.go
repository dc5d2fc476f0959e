//go:build !long

package sim_test

// orders is in how many other orders each story is told.
const orders = 5

// seededFleets is how many made-up fleets are rolled.
const seededFleets = 2000
