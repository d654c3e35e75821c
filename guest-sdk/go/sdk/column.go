package lantern

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// kind is a type of value, with the number it has in the contract.
type kind uint8

const (
	null kind = iota
	integer
	real
	text
	blob
	boolean
)

// value is one cell: number has the bits of integers, reals and booleans, text has texts and blobs.
type value struct {
	kind   kind
	number uint64
	text   string
}

func (v value) isNaN() bool { return v.kind == real && math.IsNaN(math.Float64frombits(v.number)) }

// String shows the value in an error.
func (v value) String() string {
	switch v.kind {
	case integer:
		return fmt.Sprint(int64(v.number))
	case text:
		return fmt.Sprintf("%q", v.text)
	}
	return fmt.Sprintf("%#v", v)
}

// column is a column of a table and the field that has its value; fields and columns have the same
// order.
type column struct {
	name     string
	kind     kind
	nullable bool
	key      bool
	field    int
}

func columnsOf(table string, of reflect.Type) []column {
	var columns []column
	for i := range of.NumField() {
		field := of.Field(i)
		name, option, _ := strings.Cut(field.Tag.Get("lantern"), ",")
		if name == "" {
			name = snakeCase(field.Name)
		}
		fieldType, nullable := field.Type, field.Type.Kind() == reflect.Pointer
		if nullable {
			fieldType = fieldType.Elem()
		}
		kind := kindOf(fieldType)
		nullable = nullable || kind == blob && option == "null"
		if kind == null || !field.IsExported() || !slices.Contains([]string{"", "key", "null"}, option) {
			panic(fmt.Sprintf("table %s: %s %s `%s` cannot be a column", table, field.Name, field.Type, field.Tag))
		}
		columns = append(columns, column{name, kind, nullable, option == "key", i})
	}
	return columns
}

func kindOf(of reflect.Type) kind {
	switch of.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return integer
	case reflect.Float32, reflect.Float64:
		return real
	case reflect.String:
		return text
	case reflect.Bool:
		return boolean
	case reflect.Slice:
		if of.Elem().Kind() == reflect.Uint8 {
			return blob
		}
	}
	return null
}

// snakeCase makes order_id of OrderID.
func snakeCase(name string) string {
	var out strings.Builder
	letters := []rune(name)
	for i, letter := range letters {
		startsWord := i > 0 && unicode.IsUpper(letter) &&
			(!unicode.IsUpper(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if startsWord {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(letter))
	}
	return out.String()
}

// value is what a field of this column has.
func (c column) value(field reflect.Value) value {
	switch field.Kind() {
	case reflect.Pointer:
		if field.IsNil() {
			return value{}
		}
		return c.value(field.Elem())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return c.integer(field.Int())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return c.integer(int64(field.Uint()))
	case reflect.Float32, reflect.Float64:
		return value{kind: real, number: math.Float64bits(field.Float())}
	case reflect.String:
		return value{kind: text, text: field.String()}
	case reflect.Slice:
		if c.nullable && field.IsNil() {
			return value{}
		}
		return value{kind: blob, text: string(field.Bytes())}
	case reflect.Bool:
		if field.Bool() {
			return value{kind: boolean, number: 1}
		}
		return value{kind: boolean}
	}
	return value{}
}

// integer takes a constant such as 2 for a real column too.
func (c column) integer(number int64) value {
	if c.kind == real {
		return value{kind: real, number: math.Float64bits(float64(number))}
	}
	return value{kind: integer, number: uint64(number)}
}

func (c column) takes(v value) bool { return v.kind == c.kind || v.kind == null && c.nullable }

// set stores what the host has in the field of this column.
func (c column) set(row reflect.Value, stored value) {
	field := row.Field(c.field)
	if stored.kind == null {
		return
	}
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch {
	case stored.kind == boolean:
		field.SetBool(stored.number == 1)
	case stored.kind == real:
		field.SetFloat(math.Float64frombits(stored.number))
	case stored.kind == text:
		field.SetString(stored.text)
	case stored.kind == blob:
		field.SetBytes([]byte(stored.text))
	case field.CanInt() && !field.OverflowInt(int64(stored.number)):
		field.SetInt(int64(stored.number))
	case field.CanUint() && int64(stored.number) >= 0 && !field.OverflowUint(stored.number):
		field.SetUint(stored.number)
	default:
		panic(fmt.Sprintf("column %s has %d, which does not fit %s", c.name, int64(stored.number), field.Type()))
	}
}
