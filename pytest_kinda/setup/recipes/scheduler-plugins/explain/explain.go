// Package explain is a plugin of kube-scheduler that tells why a pod is where it is, or nowhere.
//
// For pods with the annotation "pytest-kinda/explain" it writes one line of log at each attempt:
// of every node the plugin that refused it and its reasons, or the weighted score of each plugin
// and their sum. It refuses nothing and scores nothing. Compile it into a scheduler of yours with
//
//	app.NewSchedulerCommand(app.WithPlugin(explain.Name, explain.New))
//
// and enable it in a profile. In postFilter it must come before preemption, which may end that
// point; in reserve it comes first, so that nothing has been reserved yet:
//
//	plugins:
//	  multiPoint: {enabled: [{name: Explain}]}
//	  postFilter: {enabled: [{name: Explain}]}
//	  reserve: {enabled: [{name: Explain}]}
//
// What the scheduler has seen is taken as it is where the framework hands it over: the statuses of
// a pod that fits nowhere, and which nodes were scored. Scores, and why the others were refused, are
// not handed over; they are asked for again, from the same plugins over the same snapshot.
//
// It is written for the framework of Kubernetes 1.34, whose types are elsewhere in other versions.
package explain

import (
	"context"
	"encoding/json"
	"sort"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

const (
	// Name is what a profile enables.
	Name = "Explain"
	// Annotation asks for a record of a pod: "all", or how many nodes of a kind it names at most.
	Annotation = "pytest-kinda/explain"

	stateKey fwk.StateKey = Name
)

// Explain is the plugin.
type Explain struct{ handle framework.Handle }

var (
	_ framework.PreScorePlugin   = &Explain{}
	_ framework.PostFilterPlugin = &Explain{}
	_ framework.ReservePlugin    = &Explain{}
)

// New makes the plugin; it has no arguments.
func New(_ context.Context, _ runtime.Object, handle framework.Handle) (framework.Plugin, error) {
	return &Explain{handle: handle}, nil
}

// Name is that of the plugin.
func (e *Explain) Name() string { return Name }

// A record is what is told of one attempt to place a pod.
type record struct {
	Pod  string `json:"pod"`
	UID  string `json:"uid"`
	Node string `json:"node,omitempty"` // that it is placed on
	// Nodes that were refused, and how often for which reasons over all nodes.
	Refused  []refusal `json:"refused,omitempty"`
	Refusals []count   `json:"refusals,omitempty"`
	// Nodes that were scored, the best first; none where a single one was left.
	Scored []scored `json:"scored,omitempty"`
	// Nodes that no plugin refuses and that were not scored.
	Unseen []string `json:"unseen,omitempty"`
	// How many nodes the lists above leave out, because the annotation says so.
	Left int `json:"left,omitempty"`
	// Extenders whose scores are part of the scheduler's sums and not of those above.
	Extenders    []string `json:"extenders,omitempty"`
	Error        string   `json:"error,omitempty"`
	Microseconds int64    `json:"took_us"`
}

type refusal struct {
	Node    string   `json:"node"`
	Plugin  string   `json:"plugin,omitempty"`
	Reasons []string `json:"reasons,omitempty"`
}

type count struct {
	Count  int    `json:"count"`
	Plugin string `json:"plugin,omitempty"`
	Reason string `json:"reason,omitempty"`
}

type scored struct {
	Node   string           `json:"node"`
	Total  int64            `json:"total"`
	Scores map[string]int64 `json:"scores"`
}

// candidates are the nodes that passed every filter, as they are handed over to be scored.
type candidates []fwk.NodeInfo

func (c candidates) Clone() fwk.StateData { return c }

// PreScore remembers which nodes are scored: those that the scheduler has looked at and kept.
func (e *Explain) PreScore(
	_ context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo,
) *fwk.Status {
	if _, wanted := asked(pod); wanted {
		state.Write(stateKey, candidates(nodes))
	}
	return nil
}

// PostFilter tells of a pod that fits nowhere what each node said.
func (e *Explain) PostFilter(
	ctx context.Context, _ fwk.CycleState, pod *v1.Pod, statuses framework.NodeToStatusReader,
) (*framework.PostFilterResult, *fwk.Status) {
	if most, wanted := asked(pod); wanted {
		began := time.Now()
		found := about(pod, "")
		nodes, err := e.handle.SnapshotSharedLister().NodeInfos().List()
		found.fail(err)
		for _, node := range nodes {
			name := node.Node().Name
			found.refuse(name, statuses.Get(name))
		}
		found.tell(ctx, most, began)
	}
	// informational: the plugins after this one decide
	return nil, fwk.NewStatus(fwk.Unschedulable)
}

// Reserve tells of a pod that has got a node how that came. It never fails the attempt.
func (e *Explain) Reserve(
	ctx context.Context, state fwk.CycleState, pod *v1.Pod, chosen string,
) *fwk.Status {
	most, wanted := asked(pod)
	if !wanted {
		return nil
	}
	began := time.Now()
	found := about(pod, chosen)
	// The reserved pod names its node already, for which NodeName would refuse all others.
	unplaced := pod.DeepCopy()
	unplaced.Spec.NodeName = ""
	var kept candidates
	if data, err := state.Read(stateKey); err == nil {
		kept, _ = data.(candidates)
	}
	e.score(ctx, state, unplaced, kept, found)
	e.refuseOthers(ctx, state, unplaced, kept, found)
	for _, extender := range e.handle.Extenders() {
		if extender.IsPrioritizer() && extender.IsInterested(unplaced) && len(kept) > 0 {
			found.Extenders = append(found.Extenders, extender.Name())
		}
	}
	found.tell(ctx, most, began)
	return nil
}

// Unreserve has nothing to take back.
func (e *Explain) Unreserve(context.Context, fwk.CycleState, *v1.Pod, string) {}

func (e *Explain) score(
	ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodes candidates, found *record,
) {
	if len(nodes) == 0 {
		return
	}
	again := state.Clone()
	if status := e.handle.RunPreScorePlugins(ctx, again, pod, nodes); !status.IsSuccess() {
		found.fail(status.AsError())
		return
	}
	all, status := e.handle.RunScorePlugins(ctx, again, pod, nodes)
	if !status.IsSuccess() {
		found.fail(status.AsError())
		return
	}
	for _, one := range all {
		scores := make(map[string]int64, len(one.Scores))
		for _, each := range one.Scores {
			scores[each.Name] = each.Score
		}
		found.Scored = append(found.Scored, scored{one.Name, one.TotalScore, scores})
	}
}

// refuseOthers asks again why the nodes that were not kept are refused, and those only: a filter
// may note for later what it found of a node that it lets pass.
func (e *Explain) refuseOthers(
	ctx context.Context, state fwk.CycleState, pod *v1.Pod, kept candidates, found *record,
) {
	nodes, err := e.handle.SnapshotSharedLister().NodeInfos().List()
	found.fail(err)
	passed := map[string]bool{found.Node: true}
	for _, node := range kept {
		passed[node.Node().Name] = true
	}
	others := make([]fwk.NodeInfo, 0, len(nodes))
	for _, node := range nodes {
		if !passed[node.Node().Name] {
			others = append(others, node)
		}
	}
	again := state.Clone()
	statuses := make([]*fwk.Status, len(others))
	e.handle.Parallelizer().Until(ctx, len(others), func(at int) {
		statuses[at] = e.handle.RunFilterPluginsWithNominatedPods(ctx, again, pod, others[at])
	}, Name)
	for at, node := range others {
		if statuses[at].IsSuccess() {
			found.Unseen = append(found.Unseen, node.Node().Name)
		} else {
			found.refuse(node.Node().Name, statuses[at])
		}
	}
}

// asked is whether a pod is to be explained, and how many nodes of a kind at most.
func asked(pod *v1.Pod) (int, bool) {
	text, there := pod.Annotations[Annotation]
	if most, err := strconv.Atoi(text); err == nil && most > 0 {
		return most, true
	}
	return int(^uint(0) >> 1), there
}

func about(pod *v1.Pod, node string) *record {
	return &record{Pod: pod.Namespace + "/" + pod.Name, UID: string(pod.UID), Node: node}
}

func (r *record) fail(err error) {
	if err != nil {
		r.Error = err.Error()
	}
}

func (r *record) refuse(node string, status *fwk.Status) {
	r.Refused = append(r.Refused, refusal{node, status.Plugin(), status.Reasons()})
}

// tell sorts a record, cuts it to the size that was asked for, and writes it.
func (r *record) tell(ctx context.Context, most int, began time.Time) {
	counts := map[count]int{}
	for _, one := range r.Refused {
		counts[count{Plugin: one.Plugin, Reason: strings.Join(one.Reasons, ", ")}]++
	}
	for kind, number := range counts {
		kind.Count = number
		r.Refusals = append(r.Refusals, kind)
	}
	sort.Slice(r.Refusals, func(a, b int) bool {
		one, other := r.Refusals[a], r.Refusals[b]
		return one.Count > other.Count || one.Count == other.Count && one.Reason < other.Reason
	})
	sort.Slice(r.Refused, func(a, b int) bool { return r.Refused[a].Node < r.Refused[b].Node })
	sort.Strings(r.Unseen)
	sort.Slice(r.Scored, func(a, b int) bool {
		one, other := r.Scored[a], r.Scored[b]
		return one.Total > other.Total || one.Total == other.Total && one.Node < other.Node
	})
	r.Refused = first(r.Refused, most, &r.Left)
	r.Unseen = first(r.Unseen, most, &r.Left)
	r.Scored = first(r.Scored, most, &r.Left)
	r.Microseconds = time.Since(began).Microseconds()
	text, err := json.Marshal(r)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Pod not explained", "pod", r.Pod)
		return
	}
	klog.FromContext(ctx).Info("Explained pod", "pod", r.Pod, "record", string(text))
}

func first[T any](all []T, most int, left *int) []T {
	if len(all) <= most {
		return all
	}
	*left += len(all) - most
	return all[:most]
}
