package lantern

import (
	"runtime"
	"time"
	"unsafe"
)

// This file speaks the component model's canonical ABI for the world `projection` of Lantern's WIT:
// wire types have the layout of the WIT records, where an address takes 32 bits. The collector does
// not see these addresses, so `held` keeps what they point at alive until a call is over. Nothing
// that the host wrote is ever written again: strings may point into it for as long as they like.

type wireList struct{ address, length uint32 }

type wireValue struct {
	kind kind
	// number has an address and, in its upper half, a length when the value is a text or blob.
	number uint64
}

// wireOption is an option<list<...>>.
type wireOption struct {
	some uint8
	list wireList
}

type wireEvent struct {
	id, stream                  wireList
	version, position           uint64
	eventType                   wireList
	schemaVersion               uint32
	time                        int64
	contentType, data, metadata wireList
}

type wireColumn struct {
	name     wireList
	kind     uint8
	nullable bool
}

type wireIndex struct{ name, columns wireList }

type wireTable struct{ name, columns, primaryKey, indexes wireList }

type wireInterest struct {
	category   wireOption
	eventTypes wireList
}

type wireDescription struct {
	name                wireList
	readModelVersion    uint32
	interests, declared wireList
}

type wireResult struct {
	failed uint8
	reason wireList
}

// The compiler checks the layouts.
var (
	_ [8]struct{}  = [unsafe.Sizeof(wireList{})]struct{}{}
	_ [16]struct{} = [unsafe.Sizeof(wireValue{})]struct{}{}
	_ [8]struct{}  = [unsafe.Offsetof(wireValue{}.number)]struct{}{}
	_ [12]struct{} = [unsafe.Sizeof(wireOption{})]struct{}{}
	_ [80]struct{} = [unsafe.Sizeof(wireEvent{})]struct{}{}
	_ [48]struct{} = [unsafe.Offsetof(wireEvent{}.time)]struct{}{}
	_ [12]struct{} = [unsafe.Sizeof(wireColumn{})]struct{}{}
	_ [16]struct{} = [unsafe.Sizeof(wireIndex{})]struct{}{}
	_ [32]struct{} = [unsafe.Sizeof(wireTable{})]struct{}{}
	_ [20]struct{} = [unsafe.Sizeof(wireInterest{})]struct{}{}
	_ [28]struct{} = [unsafe.Sizeof(wireDescription{})]struct{}{}
	_ [12]struct{} = [unsafe.Sizeof(wireResult{})]struct{}{}
)

//go:wasmimport lantern:plugin/read-model@0.1.0 get
func importGet(table string, key unsafe.Pointer, keyLength uint32, answer unsafe.Pointer)

//go:wasmimport lantern:plugin/read-model@0.1.0 find
func importFind(table, index string, values unsafe.Pointer, valuesLength, limit uint32, answer unsafe.Pointer)

//go:wasmimport lantern:plugin/read-model-writes@0.1.0 put-many
func importPutMany(table string, rows unsafe.Pointer, rowsLength uint32)

//go:wasmimport lantern:plugin/read-model-writes@0.1.0 delete
func importDelete(table string, key unsafe.Pointer, keyLength uint32)

//go:wasmimport lantern:plugin/log@0.1.0 log
func importLog(level uint32, message string)

// held is reachable from here because something that the host knows points at it.
var held []any

// free is the rest of the last block that was made for the host.
var free []uint64

const blockBytes = 64 << 10

//go:wasmexport cabi_realloc
func allocate(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	words := int(size+7) / 8
	if words > len(free) {
		free = make([]uint64, max(words, blockBytes/8))
		held = append(held, free)
	}
	block := unsafe.Pointer(unsafe.SliceData(free))
	free = free[words:]
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(block), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return block
}

// release ends a call: what Go still points at stays, what only the host knew goes.
func release() {
	held = nil
	if free != nil {
		held = []any{free}
	}
}

//go:wasmexport describe
func describe() unsafe.Pointer {
	return hold(&wireDescription{
		name:             lowerText(projection.Name),
		readModelVersion: projection.ReadModelVersion,
		interests:        lower(wireInterests()),
		declared:         lower(wireTables()),
	})
}

//go:wasmexport cabi_post_describe
func postDescribe(unsafe.Pointer) { release() }

//go:wasmexport apply
func apply(batch unsafe.Pointer, length uint32) unsafe.Pointer {
	events := make([]Event, length)
	for i, event := range unsafe.Slice((*wireEvent)(batch), length) {
		events[i] = Event{
			ID:            liftText(event.id),
			Stream:        liftText(event.stream),
			Version:       int64(event.version),
			Position:      int64(event.position),
			Type:          liftText(event.eventType),
			SchemaVersion: int64(event.schemaVersion),
			Time:          time.UnixMicro(event.time).UTC(),
			ContentType:   liftText(event.contentType),
			RawData:       liftText(event.data),
			Metadata:      liftText(event.metadata),
		}
	}
	release()
	if err := applyAll(events); err != nil {
		return hold(&wireResult{1, lowerText(err.Error())})
	}
	return hold(&wireResult{})
}

//go:wasmexport cabi_post_apply
func postApply(unsafe.Pointer) { release() }

func wireInterests() []wireInterest {
	var types []wireList
	for _, sample := range projection.Events {
		types = append(types, lowerText(eventTypeOf(sample)))
	}
	if projection.Categories == nil {
		return []wireInterest{{eventTypes: lower(types)}}
	}
	var interests []wireInterest
	for _, category := range projection.Categories {
		interests = append(interests, wireInterest{wireOption{1, lowerText(category)}, lower(types)})
	}
	return interests
}

func wireTables() []wireTable {
	var declared []wireTable
	for _, table := range tables {
		var columns []wireColumn
		for _, column := range table.columns {
			// Column types have no null.
			columns = append(columns, wireColumn{lowerText(column.name), uint8(column.kind - 1), column.nullable})
		}
		var key []wireList
		for _, column := range table.key {
			key = append(key, lowerText(column.name))
		}
		var indexes []wireIndex
		for _, index := range table.indexes {
			indexes = append(indexes, wireIndex{lowerText(index.name), lowerTexts(index.columns)})
		}
		declared = append(declared, wireTable{lowerText(table.name), lower(columns), lower(key), lower(indexes)})
	}
	return declared
}

func hostGet(table string, key []value) []value {
	answer := new(wireOption)
	wire := lowerValues(key)
	importGet(table, unsafe.Pointer(unsafe.SliceData(wire)), uint32(len(wire)), unsafe.Pointer(answer))
	runtime.KeepAlive(key)
	defer release()
	if answer.some == 0 {
		return nil
	}
	return liftValues(answer.list)
}

func hostFind(table, index string, values []value, limit uint32) [][]value {
	answer := new(wireList)
	wire := lowerValues(values)
	importFind(table, index, unsafe.Pointer(unsafe.SliceData(wire)), uint32(len(wire)), limit, unsafe.Pointer(answer))
	runtime.KeepAlive(values)
	defer release()
	rows := make([][]value, answer.length)
	for i, row := range lift[wireList](*answer) {
		rows[i] = liftValues(row)
	}
	return rows
}

func hostPutMany(table string, rows [][]value) {
	wire := make([]wireList, len(rows))
	for i, row := range rows {
		wire[i] = lower(lowerValues(row))
	}
	importPutMany(table, unsafe.Pointer(unsafe.SliceData(wire)), uint32(len(wire)))
	runtime.KeepAlive(rows)
	release()
}

func hostDelete(table string, key []value) {
	wire := lowerValues(key)
	importDelete(table, unsafe.Pointer(unsafe.SliceData(wire)), uint32(len(wire)))
	runtime.KeepAlive(key)
}

func hostLog(level uint32, message string) { importLog(level, message) }

func hold[T any](what *T) unsafe.Pointer {
	held = append(held, what)
	return unsafe.Pointer(what)
}

func address[T any](of *T) uint32 { return uint32(uintptr(unsafe.Pointer(of))) }

func lower[T any](list []T) wireList {
	held = append(held, list)
	return wireList{address(unsafe.SliceData(list)), uint32(len(list))}
}

func lowerText(text string) wireList {
	held = append(held, text)
	return wireList{address(unsafe.StringData(text)), uint32(len(text))}
}

func lowerTexts(texts []string) wireList {
	wire := make([]wireList, len(texts))
	for i, text := range texts {
		wire[i] = lowerText(text)
	}
	return lower(wire)
}

// lowerValues needs its argument to stay alive.
func lowerValues(values []value) []wireValue {
	wire := make([]wireValue, len(values))
	for i, value := range values {
		wire[i] = wireValue{value.kind, value.number}
		if value.kind == text || value.kind == blob {
			wire[i].number = uint64(address(unsafe.StringData(value.text))) | uint64(len(value.text))<<32
		}
	}
	return wire
}

func lift[T any](list wireList) []T {
	if list.length == 0 {
		return nil // its address means nothing
	}
	return unsafe.Slice((*T)(unsafe.Pointer(uintptr(list.address))), list.length)
}

func liftText(list wireList) string {
	if list.length == 0 {
		return "" // its address means nothing
	}
	return unsafe.String((*byte)(unsafe.Pointer(uintptr(list.address))), list.length)
}

func liftValues(list wireList) []value {
	values := make([]value, list.length)
	for i, wire := range lift[wireValue](list) {
		values[i] = value{kind: wire.kind, number: wire.number}
		switch wire.kind {
		case text, blob:
			values[i] = value{kind: wire.kind, text: liftText(wireList{uint32(wire.number), uint32(wire.number >> 32)})}
		case boolean:
			values[i].number &= 1
		}
	}
	return values
}
