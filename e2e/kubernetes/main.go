// The story of a cluster: a served Remit takes a company's manifests in, and is asked by the authorizer that kube-apiserver itself calls a
// webhook with. `kubernetes REMIT EXAMPLES` with the binary and the folder of the manifests; it fails at the first answer that is
// not as it should be.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/cel"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"
)

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: remit, cluster: {server: "https://%s/kubernetes/v1/authorize", certificate-authority: %s}}]
users: [{name: apiserver, user: {token: %s}}]
contexts: [{name: remit, context: {cluster: remit, user: apiserver}}]
current-context: remit
`

var names = map[authorizer.Decision]string{
	authorizer.DecisionAllow:     "allow",
	authorizer.DecisionDeny:      "deny",
	authorizer.DecisionNoOpinion: "no opinion",
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failed:", err)
		os.Exit(1)
	}
}

// A served Remit.
type remit struct {
	binary, authority, endpoint string
	process                     *exec.Cmd
}

func serve(binary, folder string) *remit {
	authority, key := certificate(folder)
	process := exec.Command(binary, "serve", "--store", "memory:", "--preshared-key", "admin:admin-key",
		"--preshared-key", "apiserver:apiserver-key", "--preshared-key", "stranger:stranger-key",
		"--tls-cert", authority, "--tls-key", key, "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--metrics-addr", "none")
	said, err := process.StderrPipe()
	must(err)
	must(process.Start())
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if _, rest, is := strings.Cut(lines.Text(), "gRPC on "); is {
			endpoint, _, _ := strings.Cut(rest, ",")
			go io.Copy(io.Discard, said)
			return &remit{binary, authority, endpoint, process}
		}
	}
	must(fmt.Errorf("remit did not get ready"))
	return nil
}

// Runs a command as the administrator.
func (r *remit) run(arguments ...string) string {
	arguments = append(arguments, "--endpoint", r.endpoint, "--tls-ca", r.authority, "--token", "admin-key")
	told, err := exec.Command(r.binary, arguments...).CombinedOutput()
	if err != nil {
		must(fmt.Errorf("%v: %w: %s", arguments, err, told))
	}
	return string(told)
}

// The authorizer of an API server that has the key, keeps no answers and denies what it cannot find out.
func (r *remit) authorizer(folder, key string) *webhook.WebhookAuthorizer {
	file := filepath.Join(folder, key)
	must(os.WriteFile(file, []byte(fmt.Sprintf(kubeconfig, r.endpoint, r.authority, key)), 0o600))
	config, err := webhookutil.LoadKubeconfig(file, nil)
	must(err)
	backoff := webhookutil.DefaultRetryBackoffWithInitialDelay(10 * time.Millisecond)
	made, err := webhook.New(config, "v1", 0, 0, backoff, authorizer.DecisionDeny, nil, "remit",
		metrics.NoopAuthorizerMetrics{}, cel.NewDefaultCompiler())
	must(err)
	return made
}

func resource(name string, groups []string, verb, namespace, resource, object string) authorizer.AttributesRecord {
	resource, subresource, _ := strings.Cut(resource, "/")
	resource, group, _ := strings.Cut(resource, ".")
	return authorizer.AttributesRecord{
		User: &user.DefaultInfo{Name: name, Groups: groups}, Verb: verb, Namespace: namespace, APIGroup: group,
		APIVersion: "v1", Resource: resource, Subresource: subresource, Name: object, ResourceRequest: true,
	}
}

func path(name string, groups []string, path string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{User: &user.DefaultInfo{Name: name, Groups: groups}, Verb: "get", Path: path}
}

func expect(asked *webhook.WebhookAuthorizer, attributes authorizer.AttributesRecord, expected, part string) {
	decision, reason, err := asked.Authorize(context.Background(), attributes)
	told := fmt.Sprintf("%s %v", reason, err)
	if names[decision] != expected || !strings.Contains(told, part) {
		must(fmt.Errorf("%+v: expected %s (%s), got %s (%s)", attributes, expected, part, names[decision], told))
	}
}

func main() {
	if len(os.Args) != 3 {
		must(fmt.Errorf("usage: kubernetes REMIT EXAMPLES"))
	}
	folder, err := os.MkdirTemp("", "kubernetes")
	must(err)
	server := serve(os.Args[1], folder)
	story(server, folder, os.Args[2])
	must(server.process.Process.Kill())
	must(os.RemoveAll(folder))
	fmt.Println("the authorizer of kube-apiserver is answered as the manifests say")
}

func story(server *remit, folder, examples string) {
	schema := filepath.Join(folder, "schema.zed")
	must(os.WriteFile(schema, []byte(server.offline("kubernetes", "schema")), 0o600))
	server.run("schema", "write", schema)
	server.run("kubernetes", "import", filepath.Join(examples, "defaults.yaml"), filepath.Join(examples, "company.yaml"))
	server.run("access", "grant", "remit/key:admin", "administrator", "--system")
	asked, stranger := server.authorizer(folder, "apiserver-key"), server.authorizer(folder, "stranger-key")
	engineer := []string{"harbour:engineering", "system:authenticated"}
	pods := resource("ann@example.com", engineer, "list", "prod", "pods", "")
	// Without a role it gets no answer, and does what it is told to do then.
	expect(asked, pods, "deny", "not found")
	for _, definition := range []string{"cluster", "namespace", "user", "serviceaccount", "group"} {
		server.run("access", "grant", "remit/key:apiserver", "checker", "--definition", "kubernetes/"+definition)
	}
	expect(stranger, pods, "deny", "not found")
	expect(asked, pods, "allow", "granted")
	secret := resource("ann@example.com", engineer, "get", "prod", "secrets", "payments-db")
	expect(asked, secret, "no opinion", "no relationship grants this")
	expect(asked, resource("bob@example.com", engineer, "get", "prod", "secrets", "payments-db"), "allow", "")
	expect(asked, resource("bob@example.com", engineer, "get", "prod", "secrets", "other"), "no opinion", "")
	keda := "system:serviceaccount:autoscaling:keda"
	expect(asked, resource(keda, nil, "patch", "prod", "deployments.apps/scale", "web"), "allow", "")
	expect(asked, resource(keda, nil, "patch", "prod", "deployments.apps", "web"), "no opinion", "")
	expect(asked, path("ann@example.com", engineer, "/apis/apps/v1"), "allow", "")
	expect(asked, path("ann@example.com", engineer, "/metrics"), "no opinion", "")
	ban := "kubernetes/namespace:main/prod#banned@kubernetes/user:ann=40example=2Ecom"
	server.run("relationship", "write", ban)
	expect(asked, pods, "deny", "banned in the namespace")
	server.run("relationship", "delete", ban)
	server.run("access", "lock", "kubernetes/user:ann=40example=2Ecom", "--reason", "lost a laptop")
	expect(asked, pods, "deny", "the user or a group of it is locked <nil>")
	server.run("access", "unlock", "kubernetes/user:ann=40example=2Ecom")
	expect(asked, pods, "allow", "granted")
	crowd := make([]string, 1001)
	for n := range crowd {
		crowd[n] = fmt.Sprintf("group-%d", n)
	}
	expect(asked, resource("ann@example.com", crowd, "list", "prod", "pods", ""), "deny", "1001 groups")
}

// Runs a command that asks no server.
func (r *remit) offline(arguments ...string) string {
	told, err := exec.Command(r.binary, arguments...).Output()
	must(err)
	return string(told)
}
