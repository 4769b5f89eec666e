// SPDX-License-Identifier: Apache-2.0

// Command streams FILE PORT… reads what tcpdump wrote and says of each port what its clients sent there: one line
//
//	PORT tls CONNECTIONS BYTES plain CONNECTIONS BYTES silent CONNECTIONS older CONNECTIONS BYTES
//
// A connection is tls if the first byte that its client sends begins a handshake, plain if it is any other byte, silent
// if the client sends none, and older if it was there before the capture. What was sent in plain text is shown on
// standard error. Bytes are payload of TCP, sent again or not.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
)

// A TLS record that holds a handshake.
const handshake = 0x16

type stream struct {
	began bool
	first uint32
	kind  string
	bytes int
}

// packet is one of TCP in IPv4.
type packet struct {
	from, to string
	port     int
	sequence uint32
	opens    bool
	payload  []byte
	length   int
}

// parse reads Ethernet and IPv4; the packet may be cut, so its length is the one that IP says.
func parse(frame []byte) (packet, bool) {
	if len(frame) < 34 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[23] != 6 {
		return packet{}, false
	}
	ip := frame[14:]
	header := int(ip[0]&15) * 4
	if len(ip) < header+20 {
		return packet{}, false
	}
	tcp := ip[header:]
	offset := int(tcp[12]>>4) * 4
	port := binary.BigEndian.Uint16(tcp[2:])
	result := packet{
		from: fmt.Sprintf("%x:%x", ip[12:16], tcp[0:2]), to: fmt.Sprintf("%x:%x", ip[16:20], tcp[2:4]),
		port: int(port), sequence: binary.BigEndian.Uint32(tcp[4:]), opens: tcp[13]&0x12 == 0x02,
		length: int(binary.BigEndian.Uint16(ip[2:])) - header - offset,
	}
	if len(tcp) > offset {
		result.payload = tcp[offset:min(len(tcp), offset+max(result.length, 0))]
	}
	return result, true
}

// add judges a connection by the first byte after its beginning.
func (s *stream) add(it packet) {
	if it.opens {
		s.began, s.first = true, it.sequence+1
	}
	if it.length <= 0 {
		return
	}
	s.bytes += it.length
	if s.kind != "" || len(it.payload) == 0 {
		return
	}
	switch {
	case !s.began:
		s.kind = "older"
	case it.sequence != s.first:
	case it.payload[0] == handshake:
		s.kind = "tls"
	default:
		s.kind = "plain"
		fmt.Fprintf(os.Stderr, "%s to %s in plain text: %q\n", it.from, it.to, it.payload[:min(len(it.payload), 60)])
	}
}

// read gives every frame of a file as tcpdump writes it, of Ethernet, to use.
func read(file io.Reader, use func([]byte)) error {
	header := make([]byte, 24)
	if _, err := io.ReadFull(file, header); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(header) != 0xa1b2c3d4 || binary.LittleEndian.Uint32(header[20:]) != 1 {
		return fmt.Errorf("not a capture of Ethernet")
	}
	for {
		if _, err := io.ReadFull(file, header[:16]); err != nil {
			// The last one may be half written.
			return nil
		}
		frame := make([]byte, binary.LittleEndian.Uint32(header[8:]))
		if _, err := io.ReadFull(file, frame); err != nil {
			return nil
		}
		use(frame)
	}
}

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	streams := map[string]*stream{}
	ports := map[string]int{}
	err = read(bufio.NewReader(file), func(frame []byte) {
		it, is := parse(frame)
		if !is {
			return
		}
		key := it.from + it.to
		// The same ports again are another connection.
		if known := streams[key]; known == nil || (it.opens && known.began && known.first != it.sequence+1) {
			if known != nil {
				streams[fmt.Sprint(key, known.first)], ports[fmt.Sprint(key, known.first)] = known, it.port
			}
			streams[key], ports[key] = &stream{}, it.port
		}
		streams[key].add(it)
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, argument := range os.Args[2:] {
		port, _ := strconv.Atoi(argument)
		connections, bytes := map[string]int{}, map[string]int{}
		for key, it := range streams {
			if ports[key] == port {
				kind := it.kind
				if kind == "" {
					kind = "silent"
				}
				connections[kind]++
				bytes[kind] += it.bytes
			}
		}
		fmt.Printf("%d tls %d %d plain %d %d silent %d older %d %d\n", port, connections["tls"], bytes["tls"],
			connections["plain"], bytes["plain"], connections["silent"], connections["older"], bytes["older"])
	}
}
