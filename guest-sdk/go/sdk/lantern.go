// Package lantern makes a Lantern plugin of a projection written in Go.
//
// A projection is a function of its events and its own rows: it sees no clock, randomness, file or
// network, so a replay gives the same rows. State kept outside the tables is a cache at best.
package lantern

import (
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
)

// Projection turns events into rows.
type Projection struct {
	// Name of the projection and of its read model: [a-z][a-z0-9-]{0,62}.
	Name string
	// ReadModelVersion is raised when the rows mean something else than before: Lantern then replays
	// history into a new read model. As long as it stays, changed code goes on from the checkpoint.
	ReadModelVersion uint32
	// Categories of the streams it reads; none: every category.
	Categories []string
	// Events has a value of the Go type of each event type that it reads, such as OrderPlaced{}; the
	// type's name is the event type, unless it has a method EventType() string. None: every event
	// type, and Event.Data is nil; Apply then decodes what it knows with Event.Decode.
	Events []any
	// Apply applies one event; those of a stream come in the order of their versions. An error
	// refuses the event: Lantern parks it, with the error's text, and the later ones of its stream.
	// A panic does the same, and its stack goes to the log.
	Apply func(Event) error
}

// Event is one event of the log.
type Event struct {
	// ID is a UUID in its hyphenated lower-case form.
	ID string
	// Stream such as order-42, whose Category is order and whose AggregateID is 42.
	Stream, Category, AggregateID string
	// Version is the place of the event in its stream, Position in the whole log; both start at 1.
	Version, Position int64
	Type              string
	SchemaVersion     int64
	Time              time.Time
	ContentType       string
	// Data is a value of the type that Projection.Events declares for this event type.
	Data any
	// RawData is the JSON text as it was written, or base64 when ContentType is not JSON.
	RawData string
	// Metadata is the text of a JSON object.
	Metadata string
}

var projection Projection
var eventTypes = map[string]reflect.Type{}

// Export makes the plugin; call it once, in the init function of package main.
func Export(p Projection) {
	projection = p
	for _, sample := range p.Events {
		eventTypes[eventTypeOf(sample)] = reflect.TypeOf(sample)
	}
}

func eventTypeOf(sample any) string {
	if named, ok := sample.(interface{ EventType() string }); ok {
		return named.EventType()
	}
	return reflect.TypeOf(sample).Name()
}

// Decode reads the event's JSON data into the struct that into points at. Fields are named as in
// encoding/json. A field that is missing or null is an error unless it is a pointer, slice, map or
// interface; other fields of the data are ignored. Numbers must fit exactly.
func (e Event) Decode(into any) error {
	return e.decode(reflect.ValueOf(into).Elem())
}

func (e Event) decode(into reflect.Value) error {
	if err := decodeObject(e.RawData, into); err != nil {
		return fmt.Errorf("%s: %w", e.Type, err)
	}
	return nil
}

// applyAll applies a batch and hands its rows over.
func applyAll(events []Event) (err error) {
	defer forgetRows()
	for i := range events {
		if err := applyOne(&events[i]); err != nil {
			return err
		}
	}
	return flushRows()
}

func applyOne(event *Event) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
			Errorf("%s at position %d: %v\n%s", event.Type, event.Position, err, debug.Stack())
		}
	}()
	currentEvent++
	event.Category, event.AggregateID, _ = strings.Cut(event.Stream, "-")
	if declared := eventTypes[event.Type]; declared != nil {
		data := reflect.New(declared).Elem()
		if err := event.decode(data); err != nil {
			return err
		}
		event.Data = data.Interface()
	}
	return projection.Apply(*event)
}

// Debugf writes a line to Lantern's log, marked with the plugin's name.
func Debugf(format string, args ...any) { hostLog(0, fmt.Sprintf(format, args...)) }

// Infof is Debugf at the level info.
func Infof(format string, args ...any) { hostLog(1, fmt.Sprintf(format, args...)) }

// Warnf is Debugf at the level warn.
func Warnf(format string, args ...any) { hostLog(2, fmt.Sprintf(format, args...)) }

// Errorf is Debugf at the level error.
func Errorf(format string, args ...any) { hostLog(3, fmt.Sprintf(format, args...)) }
