// What is handed to users: archives, their checksums and bills of materials.
module refit.dev/refit/tools/release

go 1.26.0

require (
	github.com/CycloneDX/cyclonedx-go v0.12.0
	github.com/google/go-cmp v0.7.0
)
