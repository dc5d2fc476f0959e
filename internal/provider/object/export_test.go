package object

import "k8s.io/client-go/rest"

// Restricted is for tests of what is refused.
func (p *Provider) Restricted(content []byte) (*rest.Config, error) { return p.restricted(content) }
