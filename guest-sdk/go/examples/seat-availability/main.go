// How many seats each conference has left.
package main

import "lantern"

// Conference has the seats of one conference.
type Conference struct {
	Conference string `lantern:",key"`
	Seats      int64
	Reserved   int64
	Available  int64 // Below zero when more seats are reserved than there are.
	Overbooked bool
}

type ConferenceOpened struct {
	Seats int64 `json:"seats"`
}

type SeatsReserved struct {
	Seats int64 `json:"seats"`
}

type ReservationCancelled struct {
	Seats int64 `json:"seats"`
}

var conferences = lantern.NewTable[Conference]("conferences")

func apply(event lantern.Event) error {
	row := conferences.GetOrDefault(event.AggregateID)
	switch data := event.Data.(type) {
	case ConferenceOpened:
		row.Seats = data.Seats
	case SeatsReserved:
		row.Reserved += data.Seats
	case ReservationCancelled:
		row.Reserved -= data.Seats
	}
	row.Available = row.Seats - row.Reserved
	row.Overbooked = row.Available < 0
	return nil
}

func init() {
	lantern.Export(lantern.Projection{
		Name:             "seat-availability",
		ReadModelVersion: 1,
		Categories:       []string{"conference"},
		Events:           []any{ConferenceOpened{}, SeatsReserved{}, ReservationCancelled{}},
		Apply:            apply,
	})
}

func main() {}
