// Command member is one person of the class scenario on the Go SDK: it connects, prints every entry it sees as a line of
// JSON, and stops when its standard input ends.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/centrifugal/centrifuge-go"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: member URL TOKEN")
		os.Exit(2)
	}
	var mutex sync.Mutex
	say := func(what string, data json.RawMessage) {
		mutex.Lock()
		defer mutex.Unlock()
		line, _ := json.Marshal(map[string]any{"what": what, "data": data})
		fmt.Println(string(line))
	}
	client := centrifuge.NewProtobufClient(os.Args[1], centrifuge.Config{Token: os.Args[2]})
	client.OnConnected(func(centrifuge.ConnectedEvent) { say("connected", nil) })
	client.OnDisconnected(func(centrifuge.DisconnectedEvent) { say("disconnected", nil) })
	client.OnPublication(func(event centrifuge.ServerPublicationEvent) { say("entry", event.Data) })
	if err := client.Connect(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	client.Close()
}
