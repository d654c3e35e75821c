package lantern

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
)

// rows is a table without its Go type, and what is known of its rows in this batch.
type rows struct {
	name    string
	goType  reflect.Type
	columns []column
	key     []column
	indexes []declaredIndex
	cache   map[string]*entry
	// touched has the entries that may differ from what the host has.
	touched []*entry
}

type declaredIndex struct {
	name    string
	columns []string
}

// entry is what is known of one primary key.
type entry struct {
	key []value
	// row points at the row; nil when there is none or, unless known, nobody asked yet.
	row   any
	known bool
	// stored is the row as the host has it; nil when it has none or that is not known.
	stored []value
	// absent says that the host has no row.
	absent bool
	// event is the last one that asked for the row; 0 when it is not in touched.
	event int
}

var tables []*rows
var currentEvent int

func newRows(name string, goType reflect.Type) *rows {
	t := &rows{name: name, goType: goType, columns: columnsOf(name, goType), cache: map[string]*entry{}}
	for _, column := range t.columns {
		if column.key {
			t.key = append(t.key, column)
		}
	}
	tables = append(tables, t)
	return t
}

func (t *rows) column(name string) column {
	place := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	if place < 0 {
		panic(fmt.Sprintf("table %s has no column %s", t.name, name))
	}
	return t.columns[place]
}

// touch returns the entry of a key and has it looked at by the next flush.
func (t *rows) touch(key []value) *entry {
	var buffer [64]byte
	name := appendKey(buffer[:0], key)
	found := t.cache[string(name)]
	if found == nil {
		found = &entry{key: key}
		t.cache[string(name)] = found
	}
	if found.event == 0 {
		t.touched = append(t.touched, found)
	}
	found.event = currentEvent
	return found
}

func appendKey(name []byte, key []value) []byte {
	for _, part := range key {
		name = binary.LittleEndian.AppendUint64(name, part.number)
		name = binary.LittleEndian.AppendUint32(name, uint32(len(part.text)))
		name = append(name, part.text...)
	}
	return name
}

// get is touch that asks the host when nothing is known of the key.
func (t *rows) get(key []value) *entry {
	found := t.touch(key)
	if !found.known {
		if stored := hostGet(t.name, key); stored != nil {
			t.fill(found, stored)
		} else {
			found.known, found.absent = true, true
		}
	}
	return found
}

func (t *rows) fill(found *entry, stored []value) {
	row := reflect.New(t.goType)
	for i, column := range t.columns {
		column.set(row.Elem(), stored[i])
	}
	found.row, found.stored, found.known, found.absent = row.Interface(), stored, true, false
}

func (t *rows) insertDefault(found *entry) {
	row := reflect.New(t.goType)
	for i, column := range t.key {
		column.set(row.Elem(), found.key[i])
	}
	found.row = row.Interface()
}

// flush hands changed rows to the host. Those of the current event may change again later.
func (t *rows) flush() error {
	var changed [][]value
	for _, touched := range t.touched {
		if touched.row == nil {
			if !touched.absent {
				hostDelete(t.name, touched.key)
			}
			touched.stored, touched.absent = nil, true
			continue
		}
		row, err := t.valuesIn(touched)
		if err != nil {
			return err
		}
		if !slices.Equal(row, touched.stored) {
			touched.stored, touched.absent = row, false
			changed = append(changed, row)
		}
	}
	if changed != nil {
		hostPutMany(t.name, changed)
	}
	t.touched = slices.DeleteFunc(t.touched, func(touched *entry) bool {
		done := touched.event != currentEvent
		if done {
			touched.event = 0
		}
		return done
	})
	return nil
}

func (t *rows) valuesIn(touched *entry) ([]value, error) {
	row := reflect.ValueOf(touched.row).Elem()
	values := make([]value, len(t.columns))
	for i, column := range t.columns {
		values[i] = column.value(row.Field(column.field))
		if values[i].isNaN() {
			return nil, fmt.Errorf("table %s: column %s is NaN", t.name, column.name)
		}
	}
	if key := t.keyIn(values); !slices.Equal(key, touched.key) {
		return nil, fmt.Errorf("table %s: the key of a row changed from %v to %v", t.name, touched.key, key)
	}
	return values, nil
}

// keyIn picks the primary key out of the values of a row.
func (t *rows) keyIn(row []value) []value {
	key := make([]value, len(t.key))
	for i, column := range t.key {
		key[i] = row[column.field]
	}
	return key
}

func (t *rows) keyOf(row any) []value {
	fields := reflect.ValueOf(row).Elem()
	key := make([]value, len(t.key))
	for i, column := range t.key {
		key[i] = column.value(fields.Field(column.field))
	}
	return key
}

func (t *rows) keyValues(key []any) []value {
	if len(key) != len(t.key) {
		panic(fmt.Sprintf("the primary key of table %s has %d columns, not %d", t.name, len(t.key), len(key)))
	}
	return t.valuesOf(t.key, key)
}

// valuesOf takes what an author gave for the first of columns.
func (t *rows) valuesOf(columns []column, given []any) []value {
	if len(given) > len(columns) {
		panic(fmt.Sprintf("table %s: %d values for %d columns", t.name, len(given), len(columns)))
	}
	values := make([]value, len(given))
	for i := range given {
		values[i] = columns[i].value(reflect.ValueOf(given[i]))
		if !columns[i].takes(values[i]) {
			panic(fmt.Sprintf("table %s: column %s does not take %#v", t.name, columns[i].name, given[i]))
		}
	}
	return values
}

// flushRows hands every changed row to the host.
func flushRows() error {
	for _, table := range tables {
		if err := table.flush(); err != nil {
			return err
		}
	}
	return nil
}

// forgetRows ends a batch: rows are not kept any longer.
func forgetRows() {
	for _, table := range tables {
		clear(table.cache)
		table.touched = nil
	}
}
