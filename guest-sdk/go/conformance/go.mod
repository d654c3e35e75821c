module conformance

go 1.27

require lantern v0.0.0

replace lantern => ../sdk
