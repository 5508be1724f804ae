{{ secrets }}
