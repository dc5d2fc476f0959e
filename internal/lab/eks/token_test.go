package eks_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseks "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// presign makes a token as aws-iam-authenticator does; signed for no cluster if
// that is "".
func presign(t *testing.T, from aws.CredentialsProvider, region, cluster string) string {
	t.Helper()
	client := sts.NewPresignClient(sts.New(sts.Options{Region: region, Credentials: from}))
	signed, err := client.PresignGetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		if cluster != "" {
			o.ClientOptions = append(o.ClientOptions, func(o *sts.Options) {
				o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("x-k8s-aws-id", cluster))
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return "k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte(signed.URL))
}

// TestTokens: a cluster lets in who has a token of the account's for this very
// cluster, and tells everybody else why not.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	described, err := w.client.DescribeCluster(t.Context(), &awseks.DescribeClusterInput{Name: aws.String("one")})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := base64.StdEncoding.DecodeString(*described.Cluster.CertificateAuthority.Data)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatalf("the certificate authority is %q", authority)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	ask := func(token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, *described.Cluster.Endpoint+"/version", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	own := w.client.Options().Credentials
	guessed := credentials.NewStaticCredentialsProvider("AKIA00000000000000", "guessed", "")
	for name, test := range map[string]struct{ token, want string }{
		"none":                {"", "does not begin with k8s-aws-v1."},
		"no base64":           {"k8s-aws-v1.%%%", "does not begin with k8s-aws-v1."},
		"for another call":    {"k8s-aws-v1." + base64.RawURLEncoding.EncodeToString([]byte("https://example.com/?Action=Other")), "not for GetCallerIdentity"},
		"of another region":   {presign(t, own, "us-east-1", "one"), "not for GetCallerIdentity of this region"},
		"for no cluster":      {presign(t, own, "eu-west-1", ""), "the token names no cluster"},
		"for another cluster": {presign(t, own, "eu-west-1", "two"), "not signed with the account's keys for this cluster"},
		"of another account":  {presign(t, guessed, "eu-west-1", "one"), "not signed with the account's keys for this cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, text := ask(test.token); code != http.StatusUnauthorized || !strings.Contains(text, test.want) {
				t.Errorf("answer = %d %s, want 401 and %q", code, text, test.want)
			}
		})
	}
	good := presign(t, own, "eu-west-1", "one")
	if code, text := ask(good); code != http.StatusOK || !strings.Contains(text, "v1.36.3") {
		t.Errorf("with a good token: %d %s", code, text)
	}
	w.lab.Expire(true)
	if code, text := ask(good); code != http.StatusUnauthorized || !strings.Contains(text, "keys have expired") {
		t.Errorf("with a token of expired keys: %d %s", code, text)
	}
}
