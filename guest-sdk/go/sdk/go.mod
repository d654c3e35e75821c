module lantern

go 1.27
