// What the conformance suite asks of every language.
package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"lantern"
)

type Thing struct {
	ID        string `lantern:",key"`
	GroupName string
	Whole     *int64
	Fraction  *float64
	Note      *string
	Bytes     []byte `lantern:",null"`
	Flag      *bool
	Changes   int64
}

type Group struct {
	GroupName string `lantern:",key"`
	Selection string `lantern:",key"`
	Members   int64
	Total     int64
	IDs       string `lantern:"ids"`
}

type Echo struct {
	Position      int64 `lantern:",key"`
	ID            string
	Stream        string
	Category      string
	AggregateID   string
	Version       int64
	EventType     string
	SchemaVersion int64
	Time          int64
	ContentType   string
	Data          string
	Metadata      string
}

type ThingStored struct {
	Group    string   `json:"group"`
	Whole    *int64   `json:"whole"`
	Fraction *float64 `json:"fraction"`
	Note     *string  `json:"note"`
	Bytes    *string  `json:"bytes"`
	Flag     *bool    `json:"flag"`
}

type ThingCopied struct {
	To string `json:"to"`
}

type groupEvent struct {
	Group string `json:"group"`
}

type ThingRefused struct {
	Why string `json:"why"`
}

var (
	things        = lantern.NewTable[Thing]("things")
	thingsByGroup = things.Index("things_by_group", "group_name", "flag")
	groups        = lantern.NewTable[Group]("groups")
	echoes        = lantern.NewTable[Echo]("echoes")
)

func apply(event lantern.Event) error {
	id := event.AggregateID
	switch event.Type {
	case "ThingStored":
		return store(event)
	case "ThingTouched":
		things.GetOrDefault(id).Changes++
	case "ThingCopied":
		return copyThing(event)
	case "ThingRemoved":
		if things.Get(id) == nil {
			return notThere(id)
		}
		things.Delete(id)
	case "GroupCounted":
		return countGroup(event)
	case "GroupDissolved":
		return dissolveGroup(event)
	case "ThingRefused":
		var refused ThingRefused
		if err := event.Decode(&refused); err != nil {
			return err
		}
		return fmt.Errorf("refused: %s", refused.Why)
	case "ThingTrapped":
		things.Get("no thing has this id").Changes++
	case "ThingEchoed":
		echoes.Put(echoOf(event))
	default:
		return fmt.Errorf("unknown event type %s", event.Type)
	}
	return nil
}

func store(event lantern.Event) error {
	var stored ThingStored
	if err := event.Decode(&stored); err != nil {
		return err
	}
	thing := things.GetOrDefault(event.AggregateID)
	thing.GroupName = stored.Group
	thing.Whole, thing.Fraction, thing.Note, thing.Flag = stored.Whole, stored.Fraction, stored.Note, stored.Flag
	thing.Bytes = nil
	thing.Changes++
	if stored.Bytes == nil {
		return nil
	}
	var err error
	thing.Bytes, err = hex.DecodeString(*stored.Bytes)
	return err
}

func copyThing(event lantern.Event) error {
	var copied ThingCopied
	if err := event.Decode(&copied); err != nil {
		return err
	}
	thing := things.Get(event.AggregateID)
	if thing == nil {
		return notThere(event.AggregateID)
	}
	duplicate := *thing
	duplicate.ID, duplicate.Changes = copied.To, 1
	things.Put(duplicate)
	return nil
}

func countGroup(event lantern.Event) error {
	var counted groupEvent
	if err := event.Decode(&counted); err != nil {
		return err
	}
	putGroup(counted.Group, "all", thingsByGroup.Find(counted.Group))
	putGroup(counted.Group, "flagged", thingsByGroup.Find(counted.Group, true))
	return nil
}

func putGroup(name, selection string, members []*Thing) {
	group := Group{GroupName: name, Selection: selection, Members: int64(len(members))}
	ids := []string{}
	for _, thing := range members {
		ids = append(ids, thing.ID)
		if thing.Whole != nil {
			group.Total += *thing.Whole
		}
	}
	group.IDs = strings.Join(ids, ",")
	groups.Put(group)
}

func dissolveGroup(event lantern.Event) error {
	var dissolved groupEvent
	if err := event.Decode(&dissolved); err != nil {
		return err
	}
	for _, thing := range thingsByGroup.Find(dissolved.Group) {
		things.Delete(thing.ID)
	}
	groups.Delete(dissolved.Group, "all")
	groups.Delete(dissolved.Group, "flagged")
	return nil
}

func echoOf(event lantern.Event) Echo {
	return Echo{
		Position:      event.Position,
		ID:            event.ID,
		Stream:        event.Stream,
		Category:      event.Category,
		AggregateID:   event.AggregateID,
		Version:       event.Version,
		EventType:     event.Type,
		SchemaVersion: event.SchemaVersion,
		Time:          event.Time.UnixMicro(),
		ContentType:   event.ContentType,
		Data:          event.RawData,
		Metadata:      event.Metadata,
	}
}

func notThere(id string) error { return fmt.Errorf("thing %s is not there", id) }

func init() {
	lantern.Export(lantern.Projection{
		Name:             "conformance",
		ReadModelVersion: 1,
		Categories:       []string{"thing"},
		Apply:            apply,
	})
}

func main() {}
