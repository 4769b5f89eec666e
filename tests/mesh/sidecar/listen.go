// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log"
	"net"
)

// A TLS record that holds a handshake.
const handshake = 0x16

// listener counts who connects, and resets whoever begins with anything else than TLS: Go's own server would answer
// plain text in plain text.
type listener struct {
	net.Listener
	port string
	seen *seen
}

func listen(port string, seen *seen) net.Listener {
	within, err := net.Listen("tcp", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	return listener{within, port, seen}
}

func (l listener) Accept() (net.Conn, error) {
	within, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.seen.count("connections", l.port)
	return &connection{Conn: within, listener: l}, nil
}

type connection struct {
	net.Conn
	listener listener
	begun    bool
}

func (c *connection) Read(buffer []byte) (int, error) {
	count, err := c.Conn.Read(buffer)
	if c.begun || count == 0 {
		return count, err
	}
	c.begun = true
	if buffer[0] == handshake {
		return count, err
	}
	c.listener.seen.count("plaintext", c.listener.port)
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	return 0, fmt.Errorf("plain text: %w", io.ErrUnexpectedEOF)
}
