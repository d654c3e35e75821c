// How many events each stream has.
package main

import "lantern"

// {{Name}} has the events of one stream.
type {{Name}} struct {
	Stream   string `lantern:",key"`
	Events   int64
	LastType string
}

var table = lantern.NewTable[{{Name}}]("{{name_}}")

func apply(event lantern.Event) error {
	row := table.GetOrDefault(event.Stream)
	row.Events++
	row.LastType = event.Type
	return nil
}

func init() {
	lantern.Export(lantern.Projection{
		Name:             "{{name}}",
		ReadModelVersion: 1,
		Apply:            apply,
	})
}

func main() {}
