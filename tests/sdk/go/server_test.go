// The real server as a child process, on a free port, with a folder of its own.

package sdk

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	apiKey   = "the back end's key"
	secret   = "a secret that only the tests know"
	startMax = 60 * time.Second
	patience = 15 * time.Second
)

var ready = regexp.MustCompile(`ready on ([^\s",]+)`)

// server is where the real server listens.
type server struct {
	address string
}

var theServer server

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	folder, err := os.MkdirTemp("", "klokke-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	// One teacher of one school, for what needs somebody of the domain.
	importing, err := verb(folder, nil, "import", "../../rosa.jsonl", "--apply")
	if err != nil {
		return 1, err
	}
	if said, err := importing.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("import: %w: %s", err, said)
	}
	started, stop, err := start(folder)
	if err != nil {
		return 1, err
	}
	defer stop()
	theServer = started
	return m.Run(), nil
}

// verb is the program with a verb, on the store of a folder.
func verb(folder string, settings []string, arguments ...string) (*exec.Cmd, error) {
	program := os.Getenv("KLOKKE_BIN")
	if program == "" {
		return nil, fmt.Errorf("KLOKKE_BIN does not name the built server: run `cargo xtask test --only sdk-go`")
	}
	config, err := filepath.Abs("../../real-parts.toml")
	if err != nil {
		return nil, err
	}
	arguments = append(arguments, "--config", config,
		"--set", "listen.address=127.0.0.1:0", "--set", "store.path="+filepath.Join(folder, "data"))
	for _, setting := range settings {
		arguments = append(arguments, "--set", setting)
	}
	command := exec.Command(program, arguments...)
	// The server takes every variable with this prefix for a setting; those here speak to the tests.
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KLOKKE_") {
			command.Env = append(command.Env, variable)
		}
	}
	return command, nil
}

// start starts a server on the store of a folder; the function ends it.
func start(folder string, settings ...string) (server, func(), error) {
	command, err := verb(folder, settings, "serve")
	if err != nil {
		return server{}, nil, err
	}
	output, input := io.Pipe()
	command.Stdout, command.Stderr = input, input
	if err := command.Start(); err != nil {
		return server{}, nil, err
	}
	stop := func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	found := make(chan string, 1)
	go listen(output, found)
	select {
	case address := <-found:
		return server{address}, stop, nil
	case <-time.After(startMax):
		stop()
		return server{}, nil, fmt.Errorf("the server did not say that it is ready")
	}
}

func listen(output io.Reader, found chan<- string) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if said := ready.FindStringSubmatch(lines.Text()); said != nil {
			found <- said[1]
		}
	}
}

// api calls the server API; the test fails when the server refuses.
func (s server) api(t *testing.T, method string, request map[string]any) {
	t.Helper()
	body, err := json.Marshal(request)
	must(t, err)
	call, err := http.NewRequest(http.MethodPost, "http://"+s.address+"/api/"+method, bytes.NewReader(body))
	must(t, err)
	call.Header.Set("X-API-Key", apiKey)
	call.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(call)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	if answer.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"error"`)) {
		t.Fatalf("%s answered %d: %s", method, answer.StatusCode, text)
	}
}

// tokenOf signs claims; they are valid for an hour unless they say otherwise.
func tokenOf(user string, claims map[string]any) string {
	all := map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	return signed(all, secret)
}

func signed(claims map[string]any, secret string) string {
	body, _ := json.Marshal(claims)
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(body)
	signature := hmac.New(sha256.New, []byte(secret))
	signature.Write([]byte(text))
	return text + "." + encode(signature.Sum(nil))
}

// breaker is a TCP forwarder that can cut every connection through it, as a tunnel or a lift does to a phone.
type breaker struct {
	listener net.Listener
	target   string
	mutex    sync.Mutex
	broken   bool
	open     []net.Conn
	// received counts the bytes that came from the server.
	received atomic.Int64
}

func newBreaker(t *testing.T, target string) *breaker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b := &breaker{listener: listener, target: target}
	go b.accept()
	t.Cleanup(func() {
		b.cut()
		_ = listener.Close()
	})
	return b
}

func (b *breaker) address() string { return b.listener.Addr().String() }

func (b *breaker) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.mutex.Lock()
		broken := b.broken
		b.mutex.Unlock()
		if broken {
			_ = client.Close()
			continue
		}
		ahead, err := net.Dial("tcp", b.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		b.mutex.Lock()
		b.open = append(b.open, client, ahead)
		b.mutex.Unlock()
		go pump(client, ahead, io.Discard)
		go pump(ahead, client, counter{&b.received})
	}
}

// counter counts what is written to it.
type counter struct{ total *atomic.Int64 }

func (c counter) Write(part []byte) (int, error) {
	c.total.Add(int64(len(part)))
	return len(part), nil
}

func pump(from, to net.Conn, also io.Writer) {
	_, _ = io.Copy(to, io.TeeReader(from, also))
	_ = to.Close()
	_ = from.Close()
}

// cut cuts what is open and lets nobody through.
func (b *breaker) cut() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.broken = true
	for _, connection := range b.open {
		_ = connection.Close()
	}
	b.open = nil
}

func (b *breaker) mend() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.broken = false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
