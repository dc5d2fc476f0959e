package object

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"refit.dev/refit/internal/fleet"
)

// text is the field at a path; empty where there is none.
func text(o *unstructured.Unstructured, at ...string) string {
	found, _, _ := unstructured.NestedString(o.Object, at...)
	return found
}

func number(o *unstructured.Unstructured, at ...string) int64 {
	found, _, _ := unstructured.NestedInt64(o.Object, at...)
	return found
}

func isSet(o *unstructured.Unstructured, at ...string) bool {
	found, _, _ := unstructured.NestedBool(o.Object, at...)
	return found
}

// versionAt is zero where the field is no version: unknown is not there yet.
func versionAt(o *unstructured.Unstructured, at path) fleet.Version {
	v, _ := fleet.ParseVersion(text(o, at...))
	return v
}

// condition of a type; zero where there is none.
type condition struct {
	Type, Status, Reason, Message string
	ObservedGeneration            int64
}

func conditionOf(o *unstructured.Unstructured, name string) condition {
	var status struct {
		Status struct{ Conditions []condition }
	}
	raw, err := json.Marshal(map[string]any{"status": o.Object["status"]})
	if err != nil || json.Unmarshal(raw, &status) != nil {
		return condition{}
	}
	for _, c := range status.Status.Conditions {
		if c.Type == name {
			return c
		}
	}
	return condition{}
}

// holds tells that a condition is True, and of what the object asks for now.
func holds(o *unstructured.Unstructured, name string) bool {
	c := conditionOf(o, name)
	return c.Status == "True" && c.ObservedGeneration == o.GetGeneration()
}

func (c condition) String() string { return fmt.Sprintf("%s is %s: %s", c.Type, c.Status, c.Message) }

// noteOf is the note on an object; zero where there is none that can be read.
func noteOf(o *unstructured.Unstructured) note {
	var n note
	if json.Unmarshal([]byte(o.GetAnnotations()[annotation]), &n) != nil {
		return note{}
	}
	return n
}
