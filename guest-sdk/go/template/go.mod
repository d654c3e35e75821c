module {{name}}

go 1.27

require lantern v0.0.0

replace lantern => ./lantern-sdk
