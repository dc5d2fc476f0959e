//go:build long

package sim_test

// orders is in how many other orders each story is told, where there is time.
const orders = 40

// seededFleets is how many made-up fleets are rolled, where there is time.
const seededFleets = 10_000
