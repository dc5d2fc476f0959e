// Package process starts operating-system processes that outlive the one that
// started them, finds them again, and tells them from any other process.
//
// A pid alone proves nothing: it is given out again. An ID is a pid together
// with the time the process started and the boot that this time counts from;
// the three never come twice. Every signal goes through a pidfd that was opened
// before the ID was compared, so it cannot reach a stranger.
//
// What was started is written to a Journal. Because a crash can fall between
// the start of a process and its line in the journal, every process also
// carries a mark in its environment, by which Find finds it.
package process
