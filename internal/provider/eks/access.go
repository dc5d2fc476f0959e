package eks

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/oauth2"
	"k8s.io/client-go/transport"
)

// A cluster believes a presigned GetCallerIdentity that names it in a signed
// header (https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster).
const (
	tokenPrefix   = "k8s-aws-v1."
	clusterHeader = "x-k8s-aws-id"
	// tokenLife is a minute less than a cluster believes one.
	tokenLife = 14 * time.Minute
	// presignTimeout is for credentials that have to be fetched first.
	presignTimeout = 30 * time.Second
)

// tokens adds a token for a cluster to every request, made when the last one has
// grown old.
func tokens(config aws.Config, cluster string) func(http.RoundTripper) http.RoundTripper {
	source := &presigner{client: sts.NewPresignClient(sts.NewFromConfig(config, regional)), cluster: cluster}
	return transport.TokenSourceWrapTransport(oauth2.ReuseTokenSource(nil, source))
}

// regional lets tokens name the region's own STS, wherever else calls go: clusters
// believe no other.
func regional(o *sts.Options) { o.BaseEndpoint = nil }

type presigner struct {
	client  *sts.PresignClient
	cluster string
}

// Token presigns one; no call is made for it.
func (p *presigner) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), presignTimeout)
	defer cancel()
	now := time.Now()
	signed, err := p.client.PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, func(o *sts.Options) {
			o.APIOptions = append(o.APIOptions,
				smithyhttp.SetHeaderValue(clusterHeader, p.cluster), smithyhttp.SetHeaderValue("X-Amz-Expires", "60"))
		})
	})
	if err != nil {
		return nil, fmt.Errorf("make a token for EKS cluster %s: %w", p.cluster, err)
	}
	return &oauth2.Token{
		AccessToken: tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(signed.URL)), Expiry: now.Add(tokenLife),
	}, nil
}
