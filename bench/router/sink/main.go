// A stand-in for pods: answers each batch of deliveries "stored", without storing. One process listens on many ports.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

var requests, deliveries atomic.Int64

func main() {
	first := flag.Int("first", 9000, "first port")
	count := flag.Int("count", 8, "ports")
	flag.Parse()
	for port := *first; port < *first+*count; port++ {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go accept(listener)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	fmt.Println(requests.Load(), deliveries.Load())
}

func accept(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go serve(connection)
	}
}

func serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 64*1024)
	var body, answer []byte
	for {
		length, batch := 0, false
		for line := 0; ; line++ {
			text, err := reader.ReadSlice('\n')
			if err != nil {
				return
			}
			if line == 0 {
				batch = bytes.HasPrefix(text, []byte("POST /v1/deliveries"))
			}
			if len(text) <= 2 {
				break
			}
			if len(text) > 16 && strings.EqualFold(string(text[:15]), "content-length:") {
				length, _ = strconv.Atoi(strings.TrimSpace(string(text[15:])))
			}
		}
		if cap(body) < length {
			body = make([]byte, length*2)
		}
		if _, err := io.ReadFull(reader, body[:length]); err != nil {
			return
		}
		count := 1
		if batch {
			count = bytes.Count(body[:length], []byte(`"kind":`))
		}
		requests.Add(1)
		deliveries.Add(int64(count))
		content := 14 + count*20
		if count > 0 {
			content += count - 1
		}
		answer = append(answer[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
		answer = strconv.AppendInt(answer, int64(content), 10)
		answer = append(answer, "\r\n\r\n{\"answers\":["...)
		for i := 0; i < count; i++ {
			if i > 0 {
				answer = append(answer, ',')
			}
			answer = append(answer, `{"outcome":"stored"}`...)
		}
		answer = append(answer, "]}"...)
		if _, err := connection.Write(answer); err != nil {
			return
		}
	}
}
