package lantern

import "reflect"

// MaxFound is the most rows that one Find answers.
const MaxFound = 10_000

// Table is a table of the read model; each field of R is a column. A column is named like its field
// in snake_case unless the tag says otherwise; `lantern:",key"` makes it a part of the primary key:
//
//	type Order struct {
//		OrderID  string `lantern:",key"`
//		Customer string `lantern:"customer_name"`
//		Paid     *int64 // null when nil
//	}
//
// Fields are integers (not uint64), floats, string, bool or []byte, or pointers to these, which can
// be null. Rows are kept until the end of the batch: change them through the pointers that the
// methods return, there is no call to save them. A read sees every write made before it.
type Table[R any] struct{ rows *rows }

// Index finds rows of a table by columns that are not its key.
type Index[R any] struct {
	rows    *rows
	name    string
	columns []column
}

// NewTable declares a table. It panics when R has a field that cannot be a column.
func NewTable[R any](name string) *Table[R] {
	return &Table[R]{newRows(name, reflect.TypeFor[R]())}
}

// Index declares an index over columns of the table.
func (t *Table[R]) Index(name string, columns ...string) *Index[R] {
	index := &Index[R]{rows: t.rows, name: name}
	for _, name := range columns {
		index.columns = append(index.columns, t.rows.column(name))
	}
	t.rows.indexes = append(t.rows.indexes, declaredIndex{name, columns})
	return index
}

// Get returns the row with this primary key, or nil.
func (t *Table[R]) Get(key ...any) *R {
	row, _ := t.rows.get(t.rows.keyValues(key)).row.(*R)
	return row
}

// GetOrDefault returns the row with this primary key. If there is none, it inserts one whose other
// columns are zero, empty or null.
func (t *Table[R]) GetOrDefault(key ...any) *R {
	values := t.rows.keyValues(key)
	found := t.rows.get(values)
	if found.row == nil {
		t.rows.insertDefault(found)
	}
	return found.row.(*R)
}

// Put inserts the row, or replaces the one with the same primary key.
func (t *Table[R]) Put(row R) {
	found := t.rows.touch(t.rows.keyOf(&row))
	found.known = true
	if old, ok := found.row.(*R); ok {
		*old = row
	} else {
		found.row = &row
	}
}

// Delete deletes the row with this primary key, if there is one.
func (t *Table[R]) Delete(key ...any) {
	found := t.rows.touch(t.rows.keyValues(key))
	found.known, found.row = true, nil
}

// Find returns the rows whose indexed columns equal values, ordered by primary key: at most
// MaxFound. There may be fewer values than columns: the first ones then.
func (i *Index[R]) Find(values ...any) []*R { return i.FindFirst(MaxFound, values...) }

// FindFirst is Find for at most limit rows.
func (i *Index[R]) FindFirst(limit int, values ...any) []*R {
	wanted := i.rows.valuesOf(i.columns, values)
	if err := i.rows.flush(); err != nil {
		panic(err)
	}
	found := []*R{}
	for _, stored := range hostFind(i.rows.name, i.name, wanted, uint32(min(limit, MaxFound))) {
		entry := i.rows.touch(i.rows.keyIn(stored))
		if entry.row == nil {
			i.rows.fill(entry, stored)
		}
		found = append(found, entry.row.(*R))
	}
	return found
}
