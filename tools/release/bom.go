package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// standard is the name of the standard library in a NOTICE.
const standard = "the Go standard library"

// writeBOM writes the bill of materials of a binary, in CycloneDX: what the linker itself noted in it.
func (r request) writeBOM(path, binary string, p platform, licences map[string]string) (err error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read what is linked: %w", err)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: r.at.Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: purl(info.Main.Path, r.version), Type: cdx.ComponentTypeApplication, Name: info.Main.Path, Version: r.version,
			PackageURL: purl(info.Main.Path, r.version) + "?type=module&goos=" + p.system + "&goarch=" + p.processor,
			Licenses:   &cdx.Licenses{{Expression: "Apache-2.0"}},
		},
	}
	components, err := components(info, licences)
	if err != nil {
		return err
	}
	bom.Components = &components
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
}

// components are the linked modules, in the linker's order, and the standard library after them.
func components(info *debug.BuildInfo, licences map[string]string) ([]cdx.Component, error) {
	var all []cdx.Component
	var errs []error
	for _, module := range info.Deps {
		for module.Replace != nil {
			module = module.Replace
		}
		hash, err := sha256Of(module.Sum)
		licence, known := licences[module.Path+" "+module.Version]
		if !known {
			err = errors.Join(err, fmt.Errorf("NOTICE names no licence of %s %s: run make notice", module.Path, module.Version))
		}
		errs = append(errs, err)
		all = append(all, library(module.Path, module.Version, licence))
		all[len(all)-1].Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hash}}
	}
	licence, known := licences[standard]
	if !known {
		errs = append(errs, errors.New("NOTICE names no licence of "+standard+": run make notice"))
	}
	return append(all, library("std", strings.TrimPrefix(info.GoVersion, "go"), licence)), errors.Join(errs...)
}

func library(name, version, licence string) cdx.Component {
	return cdx.Component{
		BOMRef: purl(name, version), Type: cdx.ComponentTypeLibrary, Name: name, Version: version,
		PackageURL: purl(name, version), Licenses: &cdx.Licenses{{Expression: licence}},
	}
}

// purl is a package's URL; of what versions have, "+" alone would mean something else there.
func purl(name, version string) string {
	return "pkg:golang/" + name + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// sha256Of reads a line of go.sum: the sum of all the module's files, as other tools put it in a bill.
func sha256Of(sum string) (string, error) {
	text, ok := strings.CutPrefix(sum, "h1:")
	hash, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return "", fmt.Errorf("sum %q: is not of the form h1:BASE64", sum)
	}
	return hex.EncodeToString(hash), nil
}

// licenceLine is a heading of NOTICE's list: identifiers of SPDX.
var licenceLine = regexp.MustCompile(`^[A-Za-z0-9.-]+( and [A-Za-z0-9.-]+)*$`)

// readLicences reads the list in a NOTICE: module and version to licences, as an expression of SPDX. A module
// is listed more than once where its folders differ.
func readLicences(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	licences, current := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		owner, indented := strings.CutPrefix(line, "  ")
		switch {
		case strings.HasPrefix(line, "===="): // the texts begin
			return licences, nil
		case line == "":
			current = ""
		case indented && current != "":
			licences[owner] = also(licences[owner], current)
		case licenceLine.MatchString(line):
			current = strings.ReplaceAll(line, " and ", " AND ")
		}
	}
	return licences, nil
}

// also adds what an expression lacks.
func also(expression, more string) string {
	if expression == "" {
		return more
	}
	have := strings.Split(expression, " AND ")
	for one := range strings.SplitSeq(more, " AND ") {
		if !slices.Contains(have, one) {
			have = append(have, one)
		}
	}
	return strings.Join(have, " AND ")
}
