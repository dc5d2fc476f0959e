package eks

import (
	"maps"
	"slices"

	"refit.dev/refit/internal/fleet"
)

// knownAddOn is an add-on that the lab has, with its versions by minor.
type knownAddOn struct {
	name, kind string
	versions   map[string][]string // the default first
}

func (k knownAddOn) versionFor(minor fleet.Version) string {
	versions := k.versions[minor.MinorName()]
	if len(versions) == 0 {
		return ""
	}
	return versions[0]
}

func (k knownAddOn) supports(minor fleet.Version, version string) bool {
	return slices.Contains(k.versions[minor.MinorName()], version)
}

// catalogue are the add-ons. Each has a version that the next minor has as well,
// so that it need not change together with the control plane.
func catalogue() []knownAddOn {
	return []knownAddOn{
		{"coredns", "networking", map[string][]string{
			"1.35": {"v1.12.4-eksbuild.1"},
			"1.36": {"v1.12.4-eksbuild.1", "v1.13.1-eksbuild.2"},
			"1.37": {"v1.13.1-eksbuild.2", "v1.14.0-eksbuild.1"},
		}},
		{"kube-proxy", "networking", map[string][]string{
			"1.35": {"v1.35.4-eksbuild.1"},
			"1.36": {"v1.36.3-eksbuild.1", "v1.35.4-eksbuild.1"},
			"1.37": {"v1.37.2-eksbuild.1", "v1.36.3-eksbuild.1"},
		}},
		{"vpc-cni", "networking", map[string][]string{
			"1.35": {"v1.21.0-eksbuild.1"},
			"1.36": {"v1.21.0-eksbuild.1", "v1.22.1-eksbuild.1"},
			"1.37": {"v1.22.1-eksbuild.1"},
		}},
	}
}

func lookUp(name string) (knownAddOn, bool) {
	all := catalogue()
	i := slices.IndexFunc(all, func(k knownAddOn) bool { return k.name == name })
	if i < 0 {
		return knownAddOn{}, false
	}
	return all[i], true
}

func listAddons(c call) (any, *refusal) {
	return c.listed("addons", slices.Sorted(maps.Keys(c.cluster.addOns)))
}

func (c call) addOn() (*addOn, *refusal) {
	a := c.cluster.addOns[c.PathValue("addon")]
	if a == nil {
		return nil, notFound("No addon: %s found in cluster: %s", c.PathValue("addon"), c.cluster.name)
	}
	return a, nil
}

func describeAddon(c call) (any, *refusal) {
	a, no := c.addOn()
	if no != nil {
		return nil, no
	}
	status := "ACTIVE"
	if c.cluster.running("", a.name) != nil {
		status = "UPDATING"
	}
	return map[string]any{"addon": map[string]any{
		"addonName": a.name, "clusterName": c.cluster.name, "status": status, "addonVersion": a.version,
		"health": map[string]any{"issues": []any{}}, "addonArn": c.lab.arn("addon", c.cluster.name, a.name, c.cluster.name+a.name),
		"createdAt": seconds(a.created), "modifiedAt": seconds(a.created), "tags": map[string]string{},
	}}, nil
}

func updateAddon(c call) (any, *refusal) {
	a, no := c.addOn()
	if no != nil {
		return nil, no
	}
	var in struct{ AddonVersion, ClientRequestToken, ResolveConflicts string }
	if no := c.read(&in); no != nil {
		return nil, no
	}
	u := &update{
		token: in.ClientRequestToken, kind: addonUpdate, addOn: a.name,
		params: []param{{paramAddonVersion, in.AddonVersion}},
	}
	if in.ResolveConflicts != "" {
		u.params = append(u.params, param{"ResolveConflicts", in.ResolveConflicts})
	}
	return c.begin(u, func() *refusal {
		known, _ := lookUp(a.name)
		switch running := c.cluster.running("", a.name); {
		case running != nil:
			return inUse("Addon %s currently has update %s in progress", a.name, running.id)
		case !known.supports(c.cluster.version, in.AddonVersion):
			return invalid("Addon version specified is not supported")
		}
		return nil
	})
}

func describeAddonVersions(c call) (any, *refusal) {
	query := c.URL.Query()
	all := []any{}
	for _, known := range catalogue() {
		if name := query.Get("addonName"); name != "" && name != known.name {
			continue
		}
		if versions := known.shown(query.Get("kubernetesVersion")); len(versions) > 0 {
			all = append(all, map[string]any{
				"addonName": known.name, "type": known.kind, "publisher": "eks", "owner": "aws", "addonVersions": versions,
			})
		}
	}
	return map[string]any{"addons": all}, nil
}

// shown are the versions of an add-on with the minors that they go with, of one
// minor or of all.
func (k knownAddOn) shown(minor string) []any {
	minors := slices.Sorted(maps.Keys(k.versions))
	var versions []string
	for _, m := range minors {
		if minor == "" || m == minor {
			versions = append(versions, k.versions[m]...)
		}
	}
	slices.Sort(versions)
	var shown []any
	for _, version := range slices.Backward(slices.Compact(versions)) {
		var fits []any
		for _, m := range minors {
			if slices.Contains(k.versions[m], version) {
				fits = append(fits, map[string]any{
					"clusterVersion": m, "platformVersions": []string{"*"}, "defaultVersion": k.versions[m][0] == version,
				})
			}
		}
		shown = append(shown, map[string]any{
			"addonVersion": version, "architecture": []string{"amd64", "arm64"}, "compatibilities": fits, "requiresConfiguration": false,
		})
	}
	return shown
}
