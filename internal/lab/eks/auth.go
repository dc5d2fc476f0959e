package eks

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// newKeys are a lab's own.
func newKeys() aws.Credentials {
	secret := make([]byte, 30)
	_, _ = rand.Read(secret) // never fails: it is the kernel's
	return aws.Credentials{
		AccessKeyID:     "AKIALAB" + "0" + strings.ToUpper(hex.EncodeToString(secret[:6])),
		SecretAccessKey: base64.StdEncoding.EncodeToString(secret),
	}
}

// amzDate is how signatures have times.
const amzDate = "20060102T150405Z"

// signatureLife is how far a signature's time may be from ours
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html).
const signatureLife = 5 * time.Minute

// letIn checks who signed a request, by signing it again.
func (l *Lab) letIn(r *http.Request, body []byte) *refusal {
	if l.mishaps.expired {
		return refuse(http.StatusForbidden, "ExpiredTokenException", "The security token included in the request is expired")
	}
	given := r.Header.Get("Authorization")
	fields := authorization(given)
	at, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	switch {
	case given == "" || err != nil:
		return refuse(http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
	case !strings.HasPrefix(fields["Credential"], l.keys.AccessKeyID+"/"):
		return refuse(http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid.")
	case time.Since(at).Abs() > signatureLife:
		return refuse(http.StatusForbidden, "InvalidSignatureException", "Signature expired: %s is not now", r.Header.Get("X-Amz-Date"))
	}
	again, err := l.signAgain(r, body, fields["SignedHeaders"], at)
	if err != nil || subtle.ConstantTimeCompare([]byte(again), []byte(given)) != 1 {
		return refuse(http.StatusForbidden, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
	}
	return nil
}

// authorization are the fields of the header of that name.
func authorization(header string) map[string]string {
	fields := map[string]string{}
	for field := range strings.SplitSeq(strings.TrimPrefix(header, "AWS4-HMAC-SHA256 "), ",") {
		if name, value, found := strings.Cut(strings.TrimSpace(field), "="); found {
			fields[name] = value
		}
	}
	return fields
}

// signAgain is the header that our keys would give the request.
func (l *Lab) signAgain(r *http.Request, body []byte, signed string, at time.Time) (string, error) {
	names := strings.Split(signed, ";")
	again, err := http.NewRequestWithContext(r.Context(), r.Method, (&url.URL{
		Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery,
	}).String(), http.NoBody)
	if err != nil {
		return "", err
	}
	for name, values := range r.Header {
		if slices.Contains(names, strings.ToLower(name)) {
			again.Header[name] = values
		}
	}
	if slices.Contains(names, "content-length") {
		again.ContentLength = r.ContentLength
	}
	hash := sha256.Sum256(body)
	keys := l.keys
	err = v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(hash[:]), "eks", l.Region, at)
	return again.Header.Get("Authorization"), err
}

// What tokens for clusters are: a presigned GetCallerIdentity that names the
// cluster in a signed header
// (https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster).
const (
	tokenPrefix   = "k8s-aws-v1."
	clusterHeader = "x-k8s-aws-id"
	tokenLife     = 15 * time.Minute
)

// checkToken checks that a token was presigned with our keys, lately, for a
// cluster.
func (l *Lab) checkToken(ctx context.Context, token, cluster string) error {
	given, err := presigned(token)
	if err != nil {
		return err
	}
	query := given.Query()
	at, err := time.Parse(amzDate, query.Get("X-Amz-Date"))
	age := time.Since(at)
	switch {
	case given.Scheme != "https" || given.Host != "sts."+l.Region+".amazonaws.com" || query.Get("Action") != "GetCallerIdentity":
		return fmt.Errorf("the token is for %s %s, not for GetCallerIdentity of this region", given.Host, query.Get("Action"))
	case err != nil || age > tokenLife || age < -signatureLife:
		return errors.New("the token has expired")
	case !slices.Contains(strings.Split(query.Get("X-Amz-SignedHeaders"), ";"), clusterHeader):
		return errors.New("the token names no cluster")
	}
	l.mu.Lock()
	expired := l.mishaps.expired
	l.mu.Unlock()
	if expired {
		return errors.New("the account's keys have expired")
	}
	unsigned := *given
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Date", "X-Amz-Credential", "X-Amz-Algorithm", "X-Amz-SignedHeaders", "X-Amz-Security-Token"} {
		query.Del(name)
	}
	unsigned.RawQuery = query.Encode()
	again, err := http.NewRequestWithContext(ctx, http.MethodGet, unsigned.String(), http.NoBody)
	if err != nil {
		return err
	}
	again.Header.Set(clusterHeader, cluster)
	const ofNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, l.keys, again, ofNothing, "sts", l.Region, at)
	if err != nil {
		return err
	}
	expected, err := url.Parse(signed)
	if err != nil || subtle.ConstantTimeCompare([]byte(expected.Query().Get("X-Amz-Signature")), []byte(given.Query().Get("X-Amz-Signature"))) != 1 {
		return errors.New("the token was not signed with the account's keys for this cluster")
	}
	return nil
}

// presigned is the URL in a token.
func presigned(token string) (*url.URL, error) {
	encoded, found := strings.CutPrefix(token, tokenPrefix)
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if !found || err != nil {
		return nil, errors.New("the token does not begin with " + tokenPrefix + " and text in base64")
	}
	given, err := url.Parse(string(text))
	if err != nil {
		return nil, errors.New("the token holds no URL")
	}
	return given, nil
}
