// Command nexus is a client of Nexus with a receiver of callbacks, or a handler, made with the SDK and told what to
// do by lines of JSON, as the programs beside it are (../driver.py): `nexus front`, `nexus upstream`.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sync"
	"time"
)

// Longer than anything takes, so that only a hang is cut short by it.
const patience = time.Minute

// A command's arguments, by name.
type arguments map[string]json.RawMessage

func (a arguments) text(name string) (text string) {
	if err := json.Unmarshal(a[name], &text); err != nil {
		log.Panicf("%s: %v", name, err)
	}
	return text
}

// What a request says of the trace that it is of, by the names of W3C Trace Context's headers.
type trace map[string]string

// Of headers of HTTP's or Nexus', whose names are read in any case.
func traceOf(headers interface{ Get(string) string }) trace {
	told := trace{}
	for _, name := range []string{"traceparent", "tracestate"} {
		if value := headers.Get(name); value != "" {
			told[name] = value
		}
	}
	return told
}

type commands map[string]func(arguments) (any, error)

// Carries out commands until the input ends, each in a goroutine of its own.
func (c commands) serve() {
	var writing sync.Mutex
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var asked arguments
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			log.Panic(err)
		}
		go func() {
			answer := map[string]any{"id": asked["id"]}
			if done, err := c[asked.text("do")](asked); err != nil {
				answer["error"] = fmt.Sprintf("%v (%T)", err, err)
			} else {
				answer["ok"] = done
			}
			line, err := json.Marshal(answer)
			if err != nil {
				log.Panic(err)
			}
			writing.Lock()
			defer writing.Unlock()
			fmt.Println(string(line))
		}()
	}
}

func main() {
	switch os.Args[1] {
	case "front":
		newFront().commands().serve()
	case "upstream":
		newUpstream().commands().serve()
	default:
		log.Fatalf("%q is neither front nor upstream", os.Args[1])
	}
}
