{{ contains "" nil }}
