package source

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"refit.dev/refit/internal/fleet"
)

const infra = "# \"1.36\" is what all have, ünd ärger\r\n" + `
terraform { required_version = ">= 1.9" }

resource "aws_eks_cluster" "main" {
  name    = "payments"
  version      =   "1.36" # not 1.35
}
resource "aws_eks_cluster" "other" { version = "1.35" }

module "payments" {
  source          = "./eks"
  cluster_version = var.kubernetes_version
  node_groups { version = "v1.36.3" }
}

variable "kubernetes_version" {
  type    = string
  default = "1.36"
}

locals { kubernetes_version = 1.36 }
locals {
  bare = 1.30
  password = "hunter2"
  ref      = local.clusters.payments
  called   = coalesce("hunter2", "1.36")
  mixed    = "v${var.minor}"
  wrapped  = "${var.minor}"
  chosen   = var.new ? "1.37" : "1.36"
  paren    = ("1.36")
  heredoc  = <<EOT
1.36
EOT
  clusters = {
    payments       = { version = "1.36.3", size = 3 }
    "payments-eu-1" = { "version" : "1.36" }
    (var.name)     = { version = "1.31" }
    twice = { version = "1.1" }
    twice = { version = "1.2" }
  }
}
`

// TestFind finds each value by its address, and refuses what is no plain version.
func TestFind(t *testing.T) {
	for _, test := range []struct{ attribute, want string }{
		{"resource.aws_eks_cluster.main.version", `7: 1.36`},
		{"resource.aws_eks_cluster.other.version", `9: 1.35`},
		{"module.payments.node_groups.version", `14: v1.36.3`},
		{"variable.kubernetes_version.default", `19: 1.36`},
		{"locals.kubernetes_version", `22: 1.36 bare`},
		{"locals.clusters.payments.version", `36: 1.36.3`},
		{`locals.clusters["payments-eu-1"].version`, `37: 1.36`},
		{`locals["clusters"].payments["version"]`, `36: 1.36.3`},
		{"resource.aws_eks_cluster.main.name", `a.tf:6: the value of resource.aws_eks_cluster.main.name is no version such as 1.36 or v1.36.3`},
		{"resource.aws_eks_cluster.gone.version", `a.tf has no resource.aws_eks_cluster.gone.version`},
		{"resource.aws_eks_cluster", `a.tf has no resource.aws_eks_cluster`},
		{"locals.password", `a.tf:25: the value of locals.password is no version such as 1.36 or v1.36.3`},
		{"locals.bare", `a.tf:24: locals.bare is 1.30 without quotes, which Terraform reads as 1.3; put it in quotes`},
		{"module.payments.cluster_version", `a.tf:13: the value of module.payments.cluster_version is not written out: it is var.kubernetes_version; name kubernetes_version in the .tfvars file that sets it, or variable.kubernetes_version.default`},
		{"locals.ref", `a.tf:26: the value of locals.ref is not written out: it is local.clusters.payments; name locals.clusters.payments`},
		{"locals.called", `a.tf:27: the value of locals.called is not written out: it is a call of coalesce(…); name the attribute that has the version itself`},
		{"locals.mixed", `a.tf:28: the value of locals.mixed is not written out: it is a text with ${…} in it, or a heredoc; name the attribute that has the version itself`},
		{"locals.wrapped", `a.tf:29: the value of locals.wrapped is not written out: it is a text with ${…} in it, or a heredoc; name the attribute that has the version itself`},
		{"locals.chosen", `a.tf:30: the value of locals.chosen is not written out: it is a condition; name the attribute that has the version itself`},
		{"locals.paren", `a.tf:31: the value of locals.paren is not written out: it is in parentheses; take them away`},
		{"locals.heredoc", `a.tf:32: the value of locals.heredoc is not written out: it is a text with ${…} in it, or a heredoc; name the attribute that has the version itself`},
		{"locals.clusters", `a.tf:35: the value of locals.clusters is not written out: it is a collection; name the attribute that has the version itself`},
		{"locals.clusters.twice.version", `a.tf has locals.clusters.twice.version 2 times, first in lines 39 and 40`},
		{"locals.clusters[0].version", `locals.clusters[0].version: an element is named by its key, not by its number`},
		{"locals.*.version", `locals.*.version is no address of an attribute, such as resource.aws_eks_cluster.main.version`},
	} {
		t.Run(test.attribute, func(t *testing.T) {
			v, err := find([]byte(infra), "a.tf", test.attribute)
			got := fmt.Sprintf("%d: %s%s", v.line, v.text, map[bool]string{true: " bare"}[v.bare])
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("a secret is told")
			}
		})
	}
	if _, err := find([]byte("a = {"), "a.tf", "a"); err == nil || !strings.HasPrefix(err.Error(), "a.tf:1: ") {
		t.Errorf("of what is no HCL: %v", err)
	}
}

// TestSplice: of random files, the bytes of that value change, and no other; what is
// read back is the new version.
func TestSplice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
		version := func(what string) fleet.Declared {
			v := fmt.Sprintf("1.%d", rapid.IntRange(20, 45).Draw(t, what))
			if rapid.Bool().Draw(t, "patch of "+what) {
				v += fmt.Sprintf(".%d", rapid.IntRange(0, 19).Draw(t, what))
			}
			return fleet.Declared(pick("v", "", "v") + v)
		}
		end := pick("end of line", "\n", "\r\n")
		n := rapid.IntRange(1, 6).Draw(t, "clusters")
		chosen := rapid.IntRange(0, n-1).Draw(t, "chosen")
		var file, before, after bytes.Buffer
		var old fleet.Declared
		for i := range n {
			says := version("says")
			head := fmt.Sprintf("%s%smodule \"c%d\" {%s  name = \"1.36 %s\"%s", pick("comment", "", "# 1.36", "/* é \"1.36\" */"), end, i, end, pick("name", "ü", "x", "${1 + 1}"), end)
			head += pick("indent", "", " ", "\t") + "version" + pick("before", "", "   ") + "=" + pick("after", "", "    ") + `"`
			tail := `"` + pick("remark", "", " # 1.36", " // x") + end + "}" + pick("last", end, end+end)
			fmt.Fprintf(&file, "%s%s%s", head, says, tail)
			switch {
			case i < chosen:
				fmt.Fprintf(&before, "%s%s%s", head, says, tail)
			case i == chosen:
				before.WriteString(head)
				after.WriteString(tail)
				old = says
			default:
				fmt.Fprintf(&after, "%s%s%s", head, says, tail)
			}
		}
		to := version("to")
		attribute := fmt.Sprintf("module.c%d.version", chosen)
		v, err := find(file.Bytes(), "a.tf", attribute)
		if err != nil || v.text != old {
			t.Fatalf("found %q, %v; want %q in\n%s", v.text, err, old, file.String())
		}
		got := v.splice(file.Bytes(), to)
		if want := before.String() + string(to) + after.String(); string(got) != want {
			t.Fatalf("got\n%q\nwant\n%q", got, want)
		}
		if back, err := find(got, "a.tf", attribute); err != nil || back.text != to || back.line != v.line {
			t.Fatalf("read back %q, %v; want %q", back.text, err, to)
		}
	})
}
