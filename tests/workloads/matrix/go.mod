module matrix

// The oldest release it is built with.
go 1.19
