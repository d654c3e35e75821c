//go:build !wasm

package lantern

// Outside WebAssembly there is no host: a plugin compiles, so that editors understand it, but its
// tables do nothing. `lantern plugin test` runs it.

const noHost = "only Lantern has rows: run `lantern plugin test`"

func hostGet(string, []value) []value                    { panic(noHost) }
func hostFind(string, string, []value, uint32) [][]value { panic(noHost) }
func hostPutMany(string, [][]value)                      { panic(noHost) }
func hostDelete(string, []value)                         { panic(noHost) }
func hostLog(uint32, string)                             {}
