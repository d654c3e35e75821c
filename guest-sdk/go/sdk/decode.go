package lantern

import (
	"bytes"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// jsonField is a field of a struct that event data is decoded into.
type jsonField struct {
	name     string
	place    int
	required bool
}

var jsonFields = map[reflect.Type][]jsonField{}

// fieldsOf lists the fields of a struct by their names in JSON.
func fieldsOf(of reflect.Type) []jsonField {
	if fields, ok := jsonFields[of]; ok {
		return fields
	}
	fields := []jsonField{}
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		fields = append(fields, jsonField{name, i, !canBeNil(field.Type.Kind())})
	}
	jsonFields[of] = fields
	return fields
}

func canBeNil(kind reflect.Kind) bool {
	switch kind {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return false
}

// One decoder for all events: a new one would cost more than decoding.
var decoderInput bytes.Buffer
var decoder = jsontext.NewDecoder(&decoderInput)

// decodeObject is json.Unmarshal for a struct, but refuses fields that are missing or null, and
// fields that stand there twice.
func decodeObject(data string, into reflect.Value) error {
	fields := fieldsOf(into.Type())
	if len(fields) == 0 {
		return nil
	}
	decoderInput.Reset()
	decoderInput.WriteString(data)
	decoder.Reset(&decoderInput, jsontext.AllowDuplicateNames(true))
	if decoder.PeekKind() != '{' {
		return fmt.Errorf("the data is not a JSON object")
	}
	seen, err := decodeFields(fields, into)
	if err != nil {
		return err
	}
	for i, field := range fields {
		if field.required && seen&(1<<i) == 0 {
			return fmt.Errorf("missing field `%s`", field.name)
		}
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return fmt.Errorf("there is more behind the JSON object")
	}
	return nil
}

// decodeFields decodes what stands between the braces and returns a bit for each field it saw.
func decodeFields(fields []jsonField, into reflect.Value) (seen uint64, err error) {
	if _, err := decoder.ReadToken(); err != nil {
		return 0, err
	}
	for decoder.PeekKind() != '}' {
		name, err := decoder.ReadToken()
		if err != nil {
			return 0, err
		}
		place := findField(fields, name.String())
		value, err := decoder.ReadValue()
		if err != nil {
			return 0, err
		}
		if place < 0 {
			continue
		}
		field := fields[place]
		if seen&(1<<place) != 0 {
			return 0, fmt.Errorf("duplicate field `%s`", field.name)
		}
		seen |= 1 << place
		if err := decodeValue(value, into.Field(field.place)); err != nil {
			return 0, fmt.Errorf("field `%s`: %w", field.name, err)
		}
	}
	_, err = decoder.ReadToken()
	return seen, err
}

func findField(fields []jsonField, name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}

// decodeValue decodes plain values itself, which is several times faster than json.Unmarshal.
func decodeValue(from jsontext.Value, into reflect.Value) error {
	switch kind := from.Kind(); {
	case kind == 'n':
		if !canBeNil(into.Kind()) {
			return fmt.Errorf("it is null")
		}
		return nil
	case into.Kind() == reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		return decodeValue(from, into.Elem())
	case kind == '"' && into.Kind() == reflect.String:
		text, err := jsontext.AppendUnquote(nil, from)
		into.SetString(string(text))
		return err
	case kind == '0' && into.CanInt():
		number, err := strconv.ParseInt(string(from), 10, into.Type().Bits())
		if err != nil {
			return fmt.Errorf("%s is not an integer that fits %s", from, into.Type())
		}
		into.SetInt(number)
		return nil
	}
	return json.Unmarshal(from, into.Addr().Interface())
}
