// Package sdk holds what an app developer relies on, asked by the unmodified centrifuge-go, in JSON and Protobuf.
package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

var names atomic.Int64

// fresh is a channel that no other test uses.
func fresh(namespace string) string {
	return fmt.Sprintf("%s:go-%d", namespace, names.Add(1))
}

// way makes clients of one protocol.
type way struct {
	name string
	make func(url string, config centrifuge.Config) *centrifuge.Client
}

var ways = []way{
	{"JSON", centrifuge.NewJsonClient},
	{"Protobuf", func(url string, config centrifuge.Config) *centrifuge.Client {
		return centrifuge.NewProtobufClient(url+"?cf_protocol_version=v2", config)
	}},
}

// eachWay runs a test once for each protocol.
func eachWay(t *testing.T, test func(t *testing.T, w way)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { test(t, w) })
	}
}

// person is a client with everything it hears.
type person struct {
	*centrifuge.Client
	connecting    chan centrifuge.ConnectingEvent
	connected     chan centrifuge.ConnectedEvent
	disconnected  chan centrifuge.DisconnectedEvent
	subscribed    chan centrifuge.ServerSubscribedEvent
	unsubscribed  chan centrifuge.ServerUnsubscribedEvent
	serverEntries chan centrifuge.ServerPublicationEvent
}

const manyEvents = 1000

func (w way) client(t *testing.T, address string, config centrifuge.Config) *person {
	t.Helper()
	config.MinReconnectDelay, config.MaxReconnectDelay = 20*time.Millisecond, 200*time.Millisecond
	config.HandshakeTimeout = 10 * time.Second
	p := &person{
		Client:        w.make("ws://"+address+"/connection/websocket", config),
		connecting:    make(chan centrifuge.ConnectingEvent, manyEvents),
		connected:     make(chan centrifuge.ConnectedEvent, manyEvents),
		disconnected:  make(chan centrifuge.DisconnectedEvent, manyEvents),
		subscribed:    make(chan centrifuge.ServerSubscribedEvent, manyEvents),
		unsubscribed:  make(chan centrifuge.ServerUnsubscribedEvent, manyEvents),
		serverEntries: make(chan centrifuge.ServerPublicationEvent, manyEvents),
	}
	p.OnConnecting(func(event centrifuge.ConnectingEvent) { p.connecting <- event })
	p.OnConnected(func(event centrifuge.ConnectedEvent) { p.connected <- event })
	p.OnDisconnected(func(event centrifuge.DisconnectedEvent) { p.disconnected <- event })
	p.OnSubscribed(func(event centrifuge.ServerSubscribedEvent) { p.subscribed <- event })
	p.OnUnsubscribed(func(event centrifuge.ServerUnsubscribedEvent) { p.unsubscribed <- event })
	p.OnPublication(func(event centrifuge.ServerPublicationEvent) { p.serverEntries <- event })
	t.Cleanup(p.Close)
	return p
}

func (w way) connect(t *testing.T, user, address string) *person {
	t.Helper()
	p := w.client(t, address, centrifuge.Config{Token: tokenOf(user, nil)})
	must(t, p.Connect())
	await(t, p.connecting)
	await(t, p.connected)
	return p
}

// seat is a subscription with everything it hears.
type seat struct {
	*centrifuge.Subscription
	subscribed   chan centrifuge.SubscribedEvent
	unsubscribed chan centrifuge.UnsubscribedEvent
	publications chan centrifuge.PublicationEvent
	joins        chan centrifuge.JoinEvent
	leaves       chan centrifuge.LeaveEvent
}

func (p *person) seat(t *testing.T, channel string, config centrifuge.SubscriptionConfig) *seat {
	t.Helper()
	subscription, err := p.NewSubscription(channel, config)
	must(t, err)
	s := &seat{
		Subscription: subscription,
		subscribed:   make(chan centrifuge.SubscribedEvent, manyEvents),
		unsubscribed: make(chan centrifuge.UnsubscribedEvent, manyEvents),
		publications: make(chan centrifuge.PublicationEvent, manyEvents),
		joins:        make(chan centrifuge.JoinEvent, manyEvents),
		leaves:       make(chan centrifuge.LeaveEvent, manyEvents),
	}
	s.OnSubscribed(func(event centrifuge.SubscribedEvent) { s.subscribed <- event })
	s.OnUnsubscribed(func(event centrifuge.UnsubscribedEvent) { s.unsubscribed <- event })
	s.OnPublication(func(event centrifuge.PublicationEvent) { s.publications <- event })
	s.OnJoin(func(event centrifuge.JoinEvent) { s.joins <- event })
	s.OnLeave(func(event centrifuge.LeaveEvent) { s.leaves <- event })
	must(t, s.Subscribe())
	return s
}

func (p *person) subscribe(t *testing.T, channel string) *seat {
	t.Helper()
	s := p.seat(t, channel, centrifuge.SubscriptionConfig{})
	await(t, s.subscribed)
	return s
}

func await[E any](t *testing.T, events <-chan E) E {
	t.Helper()
	select {
	case event := <-events:
		return event
	case <-time.After(patience):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

// numbers reads so many publications that carry numbers.
func (s *seat) numbers(t *testing.T, count int) []int {
	t.Helper()
	return numbersOf(t, count, s.publications, func(event centrifuge.PublicationEvent) []byte { return event.Data })
}

func numbersOf[E any](t *testing.T, count int, events <-chan E, data func(E) []byte) []int {
	t.Helper()
	seen := make([]int, count)
	for at := range seen {
		must(t, json.Unmarshal(data(await(t, events)), &seen[at]))
	}
	return seen
}

func upTo(count int) []int {
	all := make([]int, count)
	for at := range all {
		all[at] = at
	}
	return all
}

func equal(t *testing.T, seen, expected any) {
	t.Helper()
	if !reflect.DeepEqual(seen, expected) {
		t.Fatalf("saw %v instead of %v", seen, expected)
	}
}

func (p *person) publish(t *testing.T, channel string, value any) {
	t.Helper()
	data, err := json.Marshal(value)
	must(t, err)
	_, err = p.Publish(context.Background(), channel, data)
	must(t, err)
}

func code(err error) uint32 {
	var refusal *centrifuge.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return 0
}

func TestConnectsAndIsToldWhoItIs(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		p := w.client(t, theServer.address, centrifuge.Config{Token: tokenOf("anna", nil)})
		must(t, p.Connect())
		equal(t, len(await(t, p.connected).ClientID), 36)
	})
}

func TestForeignTokenEndsItForGood(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		p := w.client(t, theServer.address, centrifuge.Config{Token: signed(map[string]any{"sub": "anna"}, "another")})
		must(t, p.Connect())
		equal(t, await(t, p.disconnected).Code, uint32(3500))
	})
}

func TestExpiredTokenIsRenewed(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		p := w.client(t, theServer.address, centrifuge.Config{
			Token:    tokenOf("anna", map[string]any{"exp": time.Now().Unix() - 10}),
			GetToken: func(centrifuge.ConnectionTokenEvent) (string, error) { return tokenOf("anna", nil), nil },
		})
		must(t, p.Connect())
		await(t, p.connected)
	})
}

func TestPublicationsArriveOnceAndInOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		channel := fresh("open")
		one, other := w.connect(t, "anna", theServer.address), w.connect(t, "bent", theServer.address)
		s := one.subscribe(t, channel)
		other.subscribe(t, channel)
		for n := range 100 {
			other.publish(t, channel, n)
		}
		equal(t, s.numbers(t, 100), upTo(100))
	})
}

func TestJoinLeaveAndPresence(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		channel := fresh("open")
		one := w.connect(t, "anna", theServer.address)
		s := one.seat(t, channel, centrifuge.SubscriptionConfig{JoinLeave: true})
		await(t, s.subscribed)
		other := w.connect(t, "bent", theServer.address)
		other.subscribe(t, channel)
		for await(t, s.joins).User != "bent" {
		}
		present, err := s.Presence(context.Background())
		must(t, err)
		var users []string
		for _, info := range present.Clients {
			users = append(users, info.User)
		}
		slices.Sort(users)
		equal(t, users, []string{"anna", "bent"})
		stats, err := s.PresenceStats(context.Background())
		must(t, err)
		equal(t, [2]int{stats.NumClients, stats.NumUsers}, [2]int{2, 2})
		must(t, other.Disconnect())
		for await(t, s.leaves).User != "bent" {
		}
	})
}

func TestHistoryPagesBothWays(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		channel := fresh("kept")
		p := w.connect(t, "anna", theServer.address)
		for n := range 10 {
			p.publish(t, channel, n)
		}
		ctx := context.Background()
		top, err := p.History(ctx, channel)
		must(t, err)
		equal(t, [2]int{len(top.Publications), int(top.Offset)}, [2]int{0, 10})
		since := centrifuge.WithHistorySince(&centrifuge.StreamPosition{Offset: 3, Epoch: top.Epoch})
		page, err := p.History(ctx, channel, centrifuge.WithHistoryLimit(3), since)
		must(t, err)
		equal(t, offsets(page), []uint64{4, 5, 6})
		page, err = p.History(ctx, channel, centrifuge.WithHistoryLimit(2), centrifuge.WithHistoryReverse(true))
		must(t, err)
		equal(t, offsets(page), []uint64{10, 9})
		_, err = p.History(ctx, channel, centrifuge.WithHistorySince(&centrifuge.StreamPosition{Offset: 1, Epoch: "other"}))
		equal(t, code(err), uint32(112))
	})
}

func offsets(page centrifuge.HistoryResult) []uint64 {
	var all []uint64
	for _, publication := range page.Publications {
		all = append(all, publication.Offset)
	}
	return all
}

func TestWhatWasMissedArrivesOnceAndInOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		channel := fresh("kept")
		b := newBreaker(t, theServer.address)
		one, other := w.connect(t, "anna", b.address()), w.connect(t, "bent", theServer.address)
		s := one.subscribe(t, channel)
		other.publish(t, channel, 0)
		equal(t, s.numbers(t, 1), []int{0})
		b.cut()
		await(t, one.connecting)
		for n := range 20 {
			other.publish(t, channel, n)
		}
		b.mend()
		back := await(t, s.subscribed)
		equal(t, [2]bool{back.WasRecovering, back.Recovered}, [2]bool{true, true})
		equal(t, s.numbers(t, 20), upTo(20))
	})
}

func TestRPCIsAnsweredAndUnknownRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		p := w.connect(t, "rosa", theServer.address)
		call := func(method string, input map[string]any) (result struct {
			ID      string
			Screens []struct {
				Person struct{ Name, Profile string }
				Unit   string
			}
		}, err error) {
			data, err := json.Marshal(input)
			must(t, err)
			answer, err := p.RPC(context.Background(), method, data)
			if err == nil {
				must(t, json.Unmarshal(answer.Data, &result))
			}
			return result, err
		}
		start, err := call("session.start", map[string]any{})
		must(t, err)
		equal(t, len(start.Screens), 1)
		screen := start.Screens[0]
		equal(t, [2]string{screen.Person.Name, screen.Unit}, [2]string{"Rosa Prøve", "Klokkeby Skole"})
		profile := screen.Person.Profile
		post, err := call("post.publish", map[string]any{
			"profile": profile, "place": map[string]string{"unit": "G1"}, "title": "Fra Go", "body": "Æbler"})
		must(t, err)
		heard := await(t, p.serverEntries)
		var entry struct{ Post struct{ ID, Body string } }
		must(t, json.Unmarshal(heard.Data, &entry))
		equal(t, [3]string{heard.Channel, entry.Post.ID, entry.Post.Body}, [3]string{"unit:G1", post.ID, "Æbler"})
		_, err = call("post.get", map[string]any{"profile": profile, "post": "G1.o999"})
		equal(t, code(err), uint32(404))
		_, err = call("no.such.method", map[string]any{})
		equal(t, code(err), uint32(104))
	})
}

func TestChannelsWithoutPermissionAreRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		p := w.connect(t, "anna", theServer.address)
		for channel, refused := range map[string]uint32{fresh("closed"): 103, fresh("nowhere"): 102} {
			s := p.seat(t, channel, centrifuge.SubscriptionConfig{})
			equal(t, await(t, s.unsubscribed).Code, refused)
		}
	})
}

func TestSubscriptionTokenOpensItsChannelAndIsRenewed(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		channel := fresh("closed")
		asked := make(chan struct{}, manyEvents)
		p := w.connect(t, "anna", theServer.address)
		first := true
		s := p.seat(t, channel, centrifuge.SubscriptionConfig{
			GetToken: func(centrifuge.SubscriptionTokenEvent) (string, error) {
				asked <- struct{}{}
				claims := map[string]any{"channel": channel}
				if first {
					claims["exp"] = time.Now().Unix() + 2
				}
				first = false
				return tokenOf("anna", claims), nil
			},
		})
		await(t, s.subscribed)
		await(t, asked)
		await(t, asked)
		theServer.api(t, "publish", map[string]any{"channel": channel, "data": 0})
		equal(t, s.numbers(t, 1), []int{0})
		equal(t, len(s.unsubscribed), 0)
	})
}

func TestConnectionTokenIsRenewedWithoutReconnect(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		asked := make(chan struct{}, manyEvents)
		p := w.client(t, theServer.address, centrifuge.Config{
			Token: tokenOf("anna", map[string]any{"exp": time.Now().Unix() + 2}),
			GetToken: func(centrifuge.ConnectionTokenEvent) (string, error) {
				asked <- struct{}{}
				return tokenOf("anna", nil), nil
			},
		})
		must(t, p.Connect())
		await(t, p.connecting)
		await(t, p.connected)
		await(t, asked)
		p.publish(t, fresh("kept"), "after the refresh")
		equal(t, len(p.connecting), 0)
	})
}

func TestServerSideSubscriptionsComeRecoverAndGo(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		channel, another := fresh("closed"), fresh("closed")
		user := fmt.Sprintf("carla-%d", names.Add(1))
		b := newBreaker(t, theServer.address)
		token := tokenOf(user, map[string]any{"channels": []string{channel}})
		p := w.client(t, b.address(), centrifuge.Config{Token: token})
		must(t, p.Connect())
		await(t, p.connecting)
		equal(t, await(t, p.subscribed).Channel, channel)
		data := func(event centrifuge.ServerPublicationEvent) []byte { return event.Data }
		theServer.api(t, "publish", map[string]any{"channel": channel, "data": 0})
		equal(t, numbersOf(t, 1, p.serverEntries, data), upTo(1))
		b.cut()
		await(t, p.connecting)
		for n := range 5 {
			theServer.api(t, "publish", map[string]any{"channel": channel, "data": n})
		}
		b.mend()
		equal(t, await(t, p.subscribed).Recovered, true)
		equal(t, numbersOf(t, 5, p.serverEntries, data), upTo(5))
		theServer.api(t, "subscribe", map[string]any{"user": user, "channel": another})
		equal(t, await(t, p.subscribed).Channel, another)
		theServer.api(t, "unsubscribe", map[string]any{"user": user, "channel": another})
		equal(t, await(t, p.unsubscribed).Channel, another)
	})
}

func TestDeltasAreUndone(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		channel := fresh("delta")
		b := newBreaker(t, theServer.address)
		p := w.connect(t, "anna", b.address())
		s := p.seat(t, channel, centrifuge.SubscriptionConfig{Delta: centrifuge.DeltaTypeFossil})
		await(t, s.subscribed)
		type lesson struct {
			Text string `json:"text"`
			N    int    `json:"n"`
		}
		text := strings.Repeat("Den lille bog om klokker. ", 20)
		publish := func(from, to int) {
			for n := from; n < to; n++ {
				theServer.api(t, "publish", map[string]any{"channel": channel, "data": lesson{text, n}, "delta": true})
			}
		}
		read := func(from, to int) {
			for n := from; n < to; n++ {
				var seen lesson
				must(t, json.Unmarshal(await(t, s.publications).Data, &seen))
				equal(t, seen, lesson{text, n})
			}
		}
		received := b.received.Load()
		publish(0, 8)
		read(0, 8)
		if came, whole := b.received.Load()-received, int64(8*len(text)); came >= whole/2 {
			t.Fatalf("%d bytes came for %d", came, whole)
		}
		b.cut()
		await(t, p.connecting)
		publish(8, 12)
		b.mend()
		equal(t, await(t, s.subscribed).Recovered, true)
		publish(12, 16)
		read(8, 16)
	})
}
