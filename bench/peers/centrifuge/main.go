// A publish/subscribe server on the Go library centrifuge, as small as its documentation suggests: the peer that
// Klokke is measured against in one run. It verifies an HS256 token at connect, allows every subscribe
// and publish, and keeps nothing.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	secret := flag.String("secret", "", "HMAC secret of the connection tokens")
	certificate := flag.String("certificate", "", "certificate file; TLS when set")
	key := flag.String("key", "", "private key file")
	flag.Parse()

	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 16 << 20, ClientChannelLimit: 128})
	check(err)
	node.OnConnecting(func(_ context.Context, event centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		claims := jwt.RegisteredClaims{}
		_, err := jwt.ParseWithClaims(event.Token, &claims, func(*jwt.Token) (any, error) {
			return []byte(*secret), nil
		}, jwt.WithValidMethods([]string{"HS256"}))
		if err != nil {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: claims.Subject}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, answer centrifuge.PublishCallback) {
			answer(centrifuge.PublishReply{}, nil)
		})
	})
	check(node.Run())

	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true },
		// No pings during a measurement, here and in Klokke alike.
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: 30 * time.Minute, PongTimeout: time.Minute},
		WriteTimeout:   30 * time.Second,
		// The settings its documentation gives for many idle connections.
		UseWriteBufferPool: true,
	})
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", handler)
	mux.Handle("/metrics", promhttp.Handler())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("listening on %s\n", listener.Addr())
	server := &http.Server{Handler: mux}
	if *certificate != "" {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		check(server.ServeTLS(listener, *certificate, *key))
	}
	check(server.Serve(listener))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
