// A server that is asked for more than it does at once: the unmodified centrifuge-go is told so, comes again by itself, and is
// in in the end.

package sdk

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

func TestWhoIsToldThatOthersComeFirstComesAgain(t *testing.T) {
	const clients = 150
	// Channels that each connect takes along, so that one takes a while.
	channels := make([]string, 100)
	for n := range channels {
		channels[n] = fmt.Sprintf("kept:busy-%d", n)
	}
	folder, err := os.MkdirTemp("", "klokke-")
	must(t, err)
	defer os.RemoveAll(folder)
	// Nobody waits: who cannot go at once is to come again.
	narrow, stop, err := start(folder, "node.shards=1", "admission.connects_at_once_max=1", "admission.wait_max=0s")
	must(t, err)
	defer stop()

	connected := make(chan struct{}, clients)
	ended := make(chan centrifuge.DisconnectedEvent, clients)
	refused := make(chan *centrifuge.Error, manyEvents)
	for n := range clients {
		client := centrifuge.NewJsonClient("ws://"+narrow.address+"/connection/websocket", centrifuge.Config{
			Token:             tokenOf(fmt.Sprintf("u%d", n), map[string]any{"channels": channels}),
			MinReconnectDelay: 50 * time.Millisecond,
			MaxReconnectDelay: time.Second,
		})
		client.OnConnected(func(centrifuge.ConnectedEvent) { connected <- struct{}{} })
		client.OnDisconnected(func(event centrifuge.DisconnectedEvent) { ended <- event })
		client.OnError(func(event centrifuge.ErrorEvent) {
			var connect centrifuge.ConnectError
			var told *centrifuge.Error
			if errors.As(event.Error, &connect) && errors.As(connect.Err, &told) {
				select {
				case refused <- told:
				default:
				}
			}
		})
		must(t, client.Connect())
		defer client.Close()
	}
	late := time.After(60 * time.Second)
	for range clients {
		select {
		case <-connected:
		case event := <-ended:
			t.Fatalf("one gave up: %v", event)
		case <-late:
			t.Fatal("not everybody is in")
		}
	}
	if len(refused) == 0 {
		t.Fatal("nobody was told to come again")
	}
	if told := <-refused; told.Code != 111 || !told.Temporary {
		t.Fatalf("told %v", told)
	}
}
