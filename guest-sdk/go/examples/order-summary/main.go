// A row for each order and a row for each customer.
package main

import (
	"fmt"

	"lantern"
)

// Order says where an order stands.
type Order struct {
	OrderID        string `lantern:",key"`
	Customer       string
	Status         string // placed, paid, shipped or cancelled
	Items          int64
	TotalCents     int64
	PlacedAtMicros int64
}

// Customer says what a customer ordered in all.
type Customer struct {
	Customer  string `lantern:",key"`
	Orders    int64
	Cancelled int64
	PaidCents int64 // Totals of paid orders that were not cancelled.
}

type OrderPlaced struct {
	Customer string `json:"customer"`
}

type ItemAdded struct {
	Quantity       int64 `json:"quantity"`
	UnitPriceCents int64 `json:"unit_price_cents"`
}

type (
	OrderPaid      struct{}
	OrderShipped   struct{}
	OrderCancelled struct{}
)

var (
	orders    = lantern.NewTable[Order]("orders")
	_         = orders.Index("orders_by_customer", "customer")
	customers = lantern.NewTable[Customer]("customers")
)

func apply(event lantern.Event) error {
	if placed, ok := event.Data.(OrderPlaced); ok {
		customers.GetOrDefault(placed.Customer).Orders++
		orders.Put(Order{
			OrderID:        event.AggregateID,
			Customer:       placed.Customer,
			Status:         "placed",
			PlacedAtMicros: event.Time.UnixMicro(),
		})
		return nil
	}
	order := orders.Get(event.AggregateID)
	if order == nil {
		return fmt.Errorf("%s before OrderPlaced", event.Type)
	}
	customer := customers.GetOrDefault(order.Customer)
	switch data := event.Data.(type) {
	case ItemAdded:
		order.Items += data.Quantity
		order.TotalCents += data.Quantity * data.UnitPriceCents
	case OrderPaid:
		order.Status = "paid"
		customer.PaidCents += order.TotalCents
	case OrderShipped:
		order.Status = "shipped"
	case OrderCancelled:
		if order.Status != "placed" {
			customer.PaidCents -= order.TotalCents
		}
		customer.Cancelled++
		order.Status = "cancelled"
	}
	return nil
}

func init() {
	lantern.Export(lantern.Projection{
		Name:             "order-summary",
		ReadModelVersion: 1,
		Categories:       []string{"order"},
		Events:           []any{OrderPlaced{}, ItemAdded{}, OrderPaid{}, OrderShipped{}, OrderCancelled{}},
		Apply:            apply,
	})
}

func main() {}
