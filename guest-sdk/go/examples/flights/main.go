// Punctuality of carriers and the travels of aircraft.
package main

import "lantern"

// Carrier has the flights of one carrier.
type Carrier struct {
	Carrier             string `lantern:",key"`
	Flights             int64  // Scheduled flights, cancelled ones included.
	Cancelled           int64
	Departures          int64
	TotalDepartureDelay int64    // In minutes; flights that left early count below zero.
	MeanDepartureDelay  *float64 // In minutes; null before the first departure.
}

// Aircraft has the flights of one aircraft.
type Aircraft struct {
	TailNumber      string `lantern:",key"`
	Flights         int64  // Scheduled flights, cancelled ones included.
	Distance        int64  // Miles of the scheduled flights.
	LastDestination string // Where the flight that was scheduled last goes to.
}

type FlightScheduled struct {
	Carrier  string `json:"carrier"`
	Dest     string `json:"dest"`
	Distance int64  `json:"distance"`
}

type FlightDeparted struct {
	Carrier string `json:"carrier"`
	Delay   int64  `json:"delay"`
}

type FlightCancelled struct {
	Carrier string `json:"carrier"`
}

var (
	carriers = lantern.NewTable[Carrier]("carriers")
	fleet    = lantern.NewTable[Aircraft]("aircraft")
)

func apply(event lantern.Event) error {
	switch data := event.Data.(type) {
	case FlightScheduled:
		carriers.GetOrDefault(data.Carrier).Flights++
		aircraft := fleet.GetOrDefault(event.AggregateID)
		aircraft.Flights++
		aircraft.Distance += data.Distance
		aircraft.LastDestination = data.Dest
	case FlightDeparted:
		carrier := carriers.GetOrDefault(data.Carrier)
		carrier.Departures++
		carrier.TotalDepartureDelay += data.Delay
		carrier.MeanDepartureDelay = new(float64(carrier.TotalDepartureDelay) / float64(carrier.Departures))
	case FlightCancelled:
		carriers.GetOrDefault(data.Carrier).Cancelled++
	}
	return nil
}

func init() {
	lantern.Export(lantern.Projection{
		Name:             "flights",
		ReadModelVersion: 1,
		Categories:       []string{"aircraft"},
		Events:           []any{FlightScheduled{}, FlightDeparted{}, FlightCancelled{}},
		Apply:            apply,
	})
}

func main() {}
