// A stand-in for Kathara's network plugin, for machines that reach no registry.
//
// It answers Docker's remote network driver calls with Linux bridges that behave as the official
// plugin's do: each network is a hub. Names follow from the ids Docker gives, so nothing has to be
// remembered, and nothing is lost when the plugin is started again.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

const socket = "/run/docker/plugins/katharanp.sock"

// What Docker sends: the union of all calls' fields that are used.
type request struct {
	NetworkID  string
	EndpointID string
	Options    map[string]any
	Interface  struct{ MacAddress string }
}

func bridgeName(network string) string { return "kt-" + network[:12] }
func portName(endpoint string) string  { return "veth" + endpoint[:11] }
func peerName(endpoint string) string  { return "vpeer" + endpoint[:10] }

// Docker's policy for forwarded packets is to drop them, and bridged ones are asked too.
func accept(action, bridge string) error {
	for _, program := range []string{"iptables", "ip6tables"} {
		rule := []string{"FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT"}
		there := xtables(program, append([]string{"-C"}, rule...)) == nil
		if there == (action == "-I") {
			continue
		}
		if err := xtables(program, append([]string{action}, rule...)); err != nil {
			return err
		}
	}
	return nil
}

var mode = "nft"

// The machine's rules may be of either kind: Docker's own chains say which it uses.
func chooseMode() {
	for _, one := range []string{"nft", "legacy"} {
		out, err := exec.Command("/usr/sbin/xtables-"+one+"-multi", "iptables-save", "-t", "filter").Output()
		if err == nil && bytes.Contains(out, []byte("DOCKER")) {
			mode = one
			return
		}
	}
}

func xtables(program string, arguments []string) error {
	command := append([]string{program, "-w", "5"}, arguments...)
	out, err := exec.Command("/usr/sbin/xtables-"+mode+"-multi", command...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w: %s", command, err, bytes.TrimSpace(out))
	}
	return nil
}

func createNetwork(asked request) (any, error) {
	// No learning, link-local groups forwarded, no snooping: every frame goes to every end.
	ageing, snooping, forward := uint32(0), false, uint16(0xfff8)
	bridge := &netlink.Bridge{
		LinkAttrs:         netlink.LinkAttrs{Name: bridgeName(asked.NetworkID)},
		AgeingTime:        &ageing,
		MulticastSnooping: &snooping,
		GroupFwdMask:      &forward,
	}
	if err := netlink.LinkAdd(bridge); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	// The machine is no member of the network: it takes no address of its own there.
	if err := netlink.LinkSetIP6AddrGenMode(bridge, 1); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return nil, err
	}
	return struct{}{}, accept("-I", bridge.Name)
}

func deleteNetwork(asked request) (any, error) {
	name := bridgeName(asked.NetworkID)
	if err := accept("-D", name); err != nil {
		return nil, err
	}
	return struct{}{}, remove(name)
}

func createEndpoint(asked request) (any, error) {
	address := asked.Interface.MacAddress
	answer := map[string]any{}
	if address == "" {
		if address = option(asked.Options, "kathara.mac_addr"); address == "" {
			sum := sha256.Sum256([]byte(asked.EndpointID))
			address = net.HardwareAddr{2, sum[0], sum[1], sum[2], sum[3], sum[4]}.String()
		}
		answer["Interface"] = map[string]string{"MacAddress": address}
	}
	hardware, err := net.ParseMAC(address)
	if err != nil {
		return nil, err
	}
	bridge, err := netlink.LinkByName(bridgeName(asked.NetworkID))
	if err != nil {
		return nil, err
	}
	pair := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: portName(asked.EndpointID)},
		PeerName:         peerName(asked.EndpointID),
		PeerHardwareAddr: hardware,
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return netlink.LinkSetMaster(pair, bridge) },
		func() error { return netlink.LinkSetIP6AddrGenMode(pair, 1) },
		func() error { return netlink.LinkSetUp(pair) },
	} {
		if err := step(); err != nil {
			_ = netlink.LinkDel(pair)
			return nil, err
		}
	}
	return answer, nil
}

func deleteEndpoint(asked request) (any, error) {
	return struct{}{}, remove(portName(asked.EndpointID))
}

func join(asked request) (any, error) {
	return map[string]any{
		"InterfaceName":         map[string]string{"SrcName": peerName(asked.EndpointID), "DstPrefix": "eth"},
		"DisableGatewayService": true,
	}, nil
}

func remove(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

// Docker puts a driver's options at the top level or under its "generic" key.
func option(options map[string]any, name string) string {
	if generic, ok := options["com.docker.network.generic"].(map[string]any); ok {
		if value, ok := generic[name].(string); ok {
			return value
		}
	}
	value, _ := options[name].(string)
	return value
}

func fixed(answer any) func(request) (any, error) {
	return func(request) (any, error) { return answer, nil }
}

func main() {
	chooseMode()
	nothing := fixed(struct{}{})
	calls := map[string]func(request) (any, error){
		"/Plugin.Activate":                           fixed(map[string]any{"Implements": []string{"NetworkDriver"}}),
		"/NetworkDriver.GetCapabilities":             fixed(map[string]any{"Scope": "local", "ConnectivityScope": "local"}),
		"/NetworkDriver.CreateNetwork":               createNetwork,
		"/NetworkDriver.DeleteNetwork":               deleteNetwork,
		"/NetworkDriver.CreateEndpoint":              createEndpoint,
		"/NetworkDriver.DeleteEndpoint":              deleteEndpoint,
		"/NetworkDriver.EndpointOperInfo":            fixed(map[string]any{"Value": map[string]string{}}),
		"/NetworkDriver.Join":                        join,
		"/NetworkDriver.Leave":                       nothing,
		"/NetworkDriver.DiscoverNew":                 nothing,
		"/NetworkDriver.DiscoverDelete":              nothing,
		"/NetworkDriver.ProgramExternalConnectivity": nothing,
		"/NetworkDriver.RevokeExternalConnectivity":  nothing,
	}
	mux := http.NewServeMux()
	for path, call := range calls {
		mux.HandleFunc(path, func(writer http.ResponseWriter, incoming *http.Request) {
			var asked request
			// Activation has no body; every other call is one JSON value.
			_ = json.NewDecoder(incoming.Body).Decode(&asked)
			writer.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.1+json")
			answer, err := call(asked)
			if err != nil {
				log.Printf("%s: %v", path, err)
				answer = map[string]string{"Err": err.Error()}
			}
			_ = json.NewEncoder(writer).Encode(answer)
		})
	}
	_ = os.MkdirAll(filepath.Dir(socket), 0o755)
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(listener, mux))
}
