module x
go 1.21
require (
 a.org/b v1.0.0 // indirect
)
replace a.org/b => ../b
